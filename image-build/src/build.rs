//! The steps of the build, from sources to a disk image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};
use tare_config::Service;

use crate::apt::Apt;
use crate::bake::Baked;
use crate::binaries::Binaries;
use crate::host;
use crate::inputs::Inputs;
use crate::kernel::{self, Kernel, Platform};
use crate::media::{Media, copy};
use crate::output::{Image, Manifest};
use crate::packages::{self, Packages};
use crate::preload;
use crate::progress::{Progress, Stage};
use crate::recipe::{self, Folders, Recipe};
use crate::rootfs::tree::{Content, Node, Tree};
use crate::rootfs::{Rootfs, Workshop};
use crate::tools::Tools;
use crate::verity::Verity;
use crate::{cache, check, digest, disk, erofs, sbom, system};

/// What to build, from where to where.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The checkout of this repository.
    pub workspace: PathBuf,
    /// The checkout whose programs go into the image; the same except in tests.
    pub programs: PathBuf,
    /// The folder for the image's files.
    pub output: PathBuf,
    /// A folder of additional services, relative to the workspace's root; for tests of the
    /// supervisor.
    pub extra_services: Option<PathBuf>,
    /// Compose files whose apps and images go into the image.
    pub bake: Vec<PathBuf>,
    /// Files of `docker save` whose images go into the image, and are not fetched for `bake`.
    pub bake_archives: Vec<PathBuf>,
    /// Fetch the package lists, and ask for the images of `bake`, even if that was done less than a day ago.
    pub refresh: bool,
    /// What kind of machine the kernel is for.
    pub platform: Platform,
    /// How many compilers and unpackers to run at a time; 0 means as many as there are CPUs.
    pub jobs: usize,
}

impl BuildOptions {
    /// Builds the checkout in `workspace` to its `target/image`.
    pub fn of(workspace: &Path) -> Self {
        Self {
            workspace: workspace.to_owned(),
            programs: workspace.to_owned(),
            output: workspace.join("target/image"),
            extra_services: None,
            bake: Vec::new(),
            bake_archives: Vec::new(),
            refresh: false,
            platform: Platform::Vm,
            jobs: 0,
        }
    }

    /// Builds for machines of this kind, to a separate folder.
    #[must_use]
    pub fn on(self, platform: Platform) -> Self {
        let folder = match platform {
            Platform::Vm => "target/image",
            Platform::Metal => "target/image-metal",
        };
        Self {
            output: self.workspace.join(folder),
            platform,
            ..self
        }
    }

    fn threads(&self) -> usize {
        match self.jobs {
            0 => thread::available_parallelism().map_or(1, usize::from),
            jobs => jobs,
        }
    }
}

impl Default for BuildOptions {
    /// The checkout that this program was compiled from.
    fn default() -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self::of(package.parent().unwrap_or(package))
    }
}

/// Builds the disk image, or returns the existing one if its inputs have not changed.
///
/// # Errors
/// The stage that failed, why, and where its log is.
pub fn build(options: &BuildOptions, progress: &Progress) -> Result<Image> {
    fs::create_dir_all(&options.output)
        .with_context(|| format!("create {}", options.output.display()))?;
    let _lock = cache::lock(&options.output.join("lock"))?;
    let parts = Parts::gather(options, progress)?;
    let inputs = parts.inputs(options)?;
    match Image::current(&options.output, &inputs) {
        Some(image) => Ok(image),
        None => parts.assemble(options, inputs, progress),
    }
}

/// Everything that goes into an image, compiled and downloaded.
#[derive(Debug)]
struct Parts {
    cache: PathBuf,
    recipe: Recipe,
    /// The folder of each service, by name, relative to the workspace's root.
    folders: Folders,
    services: BTreeMap<String, Service>,
    kernel: Kernel,
    binaries: Binaries,
    packages: Packages,
    tools: Tools,
    baked: Baked,
    /// The machine's configuration for keys that user-data does not set.
    defaults: String,
}

impl Parts {
    fn gather(options: &BuildOptions, progress: &Progress) -> Result<Self> {
        let workspace = &options.workspace;
        let cache = cache::root()?;
        let recipe = Recipe::read(&workspace.join("image-build/tare.toml"))?;
        let folders = recipe.service_folders(workspace, options.extra_services.as_deref())?;
        let services = recipe::read_services(workspace, &folders)?;
        let packages = || fetch(options, &cache, &services, &recipe, progress);
        let programs = || {
            let packages = guest_packages(&recipe, &services);
            progress.stage("Programs", |stage| {
                Binaries::build(&options.programs, &packages, None, options.jobs, stage)
            })
        };
        let baked = || Baked::gather(options, &cache, progress);
        // Each has phases that use one processor, or none.
        let (rest, kernel) = thread::scope(|scope| {
            let rest = scope.spawn(|| anyhow::Ok((packages()?, baked()?, programs()?)));
            let description = workspace.join(&recipe.kernel);
            let kernel = kernel::build(&description, options.platform, &cache, progress);
            (rest.join(), kernel)
        });
        let ((packages, tools), baked, binaries) =
            rest.unwrap_or_else(|panic| resume_unwind(panic))?;
        let kernel = kernel?;
        let defaults = recipe.defaults(&baked.apps)?;
        Ok(Self {
            cache,
            recipe,
            folders,
            services,
            kernel,
            binaries,
            packages,
            tools,
            baked,
            defaults,
        })
    }

    fn inputs(&self, options: &BuildOptions) -> Result<String> {
        let mut inputs = Inputs::default();
        inputs.add_sources(&options.workspace)?;
        for folder in self.folders.values() {
            inputs.add_service(&options.workspace, folder)?;
        }
        inputs.add_debs(&self.packages.all());
        inputs.add_kernel(&self.kernel);
        inputs.add_tools(&self.tools);
        inputs.add_binaries(&self.binaries)?;
        inputs.add_baked(&self.baked);
        Ok(inputs.hash())
    }

    fn assemble(
        &self,
        options: &BuildOptions,
        inputs: String,
        progress: &Progress,
    ) -> Result<Image> {
        let work = options.output.join("partial");
        fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
        let (root, time) = progress.stage("Root filesystems", |stage| self.root(options, stage))?;
        let system = Image::at(&work, String::new()).system;
        let verity = progress.stage("System image", |stage| {
            let erofs = &self.recipe.system.erofs;
            erofs::make(&root, time, erofs, &system, &self.tools, stage)?;
            Verity::append(&system)
        })?;
        progress.stage("Disk image", |stage| {
            let layout = disk::Layout::new(&self.recipe.disk, &verity.root);
            let image = Image::at(&work, self.cmdline(&verity, &layout));
            let media = Media {
                kernel: &self.kernel,
                tools: &self.tools,
            };
            media.write(&image, &layout, &verity, stage)?;
            self.copy_for_others(options, &image)?;
            self.write_sbom(options, &image, time, &verity, stage)?;
            image.seal(Manifest {
                version: system::VERSION.to_owned(),
                inputs,
                time,
                root_hash: digest::to_hex(&verity.root),
                cmdline: image.cmdline.clone(),
                files: Vec::new(),
            })?;
            image.publish(&options.output)
        })
    }

    /// The host's root file system, and the newest time among its packages.
    fn root(&self, options: &BuildOptions, stage: &Stage) -> Result<(Tree, u64)> {
        let packages = self.packages.all();
        let saved = packages::unpack(&packages, &self.cache, options.threads(), stage)?;
        let workshop = Workshop {
            cache: &self.cache,
            tools: &self.tools,
            binaries: &self.binaries,
            stage,
        };
        let rootfs = self.rootfs(&options.workspace, &workshop)?;
        let mut root = system::skeleton();
        let init = self.binaries.of(&self.recipe.init);
        let init = init.with_context(|| format!("no binary in {}", self.recipe.init))?;
        system::add_init(&mut root, init)?;
        root.lay_over(&self.kernel.modules)?;
        system::add_services(&mut root, &self.services, &rootfs)?;
        root.put_text("usr/share/tare/defaults.toml", 0o644, &self.defaults);
        self.add_images(&mut root, &options.workspace, &workshop)?;
        check::check(&root, &self.services)?;
        stage.message(&format!(
            "{} services, Go programs of packages {} MB smaller",
            self.services.len(),
            saved / 1_000_000
        ));
        let time = rootfs.values().map(|rootfs| rootfs.newest).max();
        Ok((root, time.unwrap_or_default()))
    }

    fn rootfs(&self, workspace: &Path, workshop: &Workshop) -> Result<BTreeMap<String, Rootfs>> {
        let own = self
            .services
            .iter()
            .filter(|(_, service)| service.image.from.is_none());
        own.map(|(name, service)| {
            let overlay = workspace.join(&self.folders[name]).join("rootfs");
            let debs = self.packages.of_service(name);
            let rootfs = workshop
                .assemble(&service.image, debs, &overlay)
                .with_context(|| format!("root filesystem of service {name}"))?;
            Ok((name.clone(), rootfs))
        })
        .collect()
    }

    fn add_images(&self, root: &mut Tree, workspace: &Path, workshop: &Workshop) -> Result<()> {
        root.ensure_directory("usr/share/tare/images", 0o755);
        for image in &self.recipe.images {
            let debs = &self.packages.images[&image.name];
            let archive = preload::make(image, debs, workspace, workshop)
                .with_context(|| format!("container image {}", image.name))?;
            let name = image.name.replace('/', "-");
            let content = Content::of_bytes(archive);
            root.put(
                &format!("usr/share/tare/images/{name}.tar"),
                Node::file(0o644, content),
            );
        }
        self.baked.add_to(root)
    }

    fn cmdline(&self, verity: &Verity, layout: &disk::Layout) -> String {
        let root = verity.cmdline(&layout.partuuid(disk::SYSTEM_A));
        format!("{root} {}", self.recipe.cmdline.join(" "))
    }

    /// What people use on other machines: the command, and the schema for their editors.
    fn copy_for_others(&self, options: &BuildOptions, image: &Image) -> Result<()> {
        let command = self.binaries.of("tare-cli").context("no program `tare`")?;
        let schema = options.workspace.join("docs/tare.schema.json");
        for (from, to) in [(&command.path, &image.command), (&schema, &image.schema)] {
            copy(from, to)?;
        }
        Ok(())
    }

    fn write_sbom(
        &self,
        options: &BuildOptions,
        image: &Image,
        time: u64,
        verity: &Verity,
        stage: &Stage,
    ) -> Result<()> {
        let guest = guest_packages(&self.recipe, &self.services);
        let tree = Binaries::crate_tree(&options.workspace, &guest, stage)?;
        let crates = sbom::crates(&tree, &options.workspace.join("Cargo.lock"))?;
        let mut debs = self.packages.all();
        debs.push(self.kernel.source.clone());
        debs.extend(self.tools.in_image().cloned());
        let parts = sbom::Parts {
            debs,
            crates,
            images: self.baked.images().collect(),
        };
        let document = sbom::document(&parts, time, &digest::to_hex(&verity.root));
        cache::write_atomic(&image.sbom, &serde_json::to_vec_pretty(&document)?)
    }
}

/// Compiles only PID 1, as in an image of `options`, and returns its path.
///
/// # Errors
/// As [`build`], for this part.
pub fn compile_init(options: &BuildOptions, progress: &Progress) -> Result<PathBuf> {
    let workspace = &options.workspace;
    let recipe = Recipe::read(&workspace.join("image-build/tare.toml"))?;
    let folders = recipe.service_folders(workspace, options.extra_services.as_deref())?;
    let services = recipe::read_services(workspace, &folders)?;
    let packages = guest_packages(&recipe, &services);
    let binaries = progress.stage("PID 1", |stage| {
        // As its manifest names it.
        let only = Some("init");
        Binaries::build(&options.programs, &packages, only, options.jobs, stage)
    })?;
    let init = binaries.of(&recipe.init);
    let init = init.with_context(|| format!("no binary in {}", recipe.init))?;
    Ok(init.path.clone())
}

/// The Debian packages of the image, and the tools it is made with.
fn fetch(
    options: &BuildOptions,
    cache: &Path,
    services: &BTreeMap<String, Service>,
    recipe: &Recipe,
    progress: &Progress,
) -> Result<(Packages, Tools)> {
    progress.stage("Packages", |stage| {
        let apt = Apt::open(cache, stage)?;
        if options.refresh {
            apt.refresh()?;
        }
        let tools = Tools::open(cache, &apt, stage)?;
        let packages = Packages::fetch(services, &recipe.images, &apt)?;
        stage.message(&format!("{} packages", packages.all().len()));
        Ok((packages, tools))
    })
}

/// The packages of this workspace whose programs are in the image.
fn guest_packages(recipe: &Recipe, services: &BTreeMap<String, Service>) -> Vec<String> {
    let of_services = services
        .values()
        .flat_map(|service| &service.image.binaries);
    let all: BTreeSet<&String> = of_services.chain([&recipe.init]).collect();
    all.into_iter().cloned().collect()
}

/// Makes sure that this machine has the tools that a build needs; see [`host::ensure`].
///
/// # Errors
/// As [`host::ensure`].
pub fn ensure_tools(assume_yes: bool, progress: &Progress) -> Result<()> {
    host::ensure(
        &[host::Group::Kernel, host::Group::Image],
        assume_yes,
        progress,
    )
}
