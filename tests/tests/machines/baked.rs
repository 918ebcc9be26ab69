//! An app and container images that are baked into the disk image, on a machine that reaches nothing.

use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Forward, Network, Vm, secs};
use tare_tests::guest::{mentions, power_off, require_no_failed_service, says, wait_service};
use tare_tests::{Checks, Scratch};

/// From "ready" to the app: half a minute goes to waiting for a network.
const APP: std::time::Duration = secs(120);

const IMAGES: &str = "docker images --format '{{.Repository}}:{{.Tag}}' 'shop/*' | sort";

/// The image behind the name that the app's is known by.
const WHICH: &str = "docker inspect -f '{{.Config.Labels.which}}' shop/web:1";

pub(crate) fn an_app_runs_without_a_registry(image: &Image) -> Result<()> {
    let folder = Scratch::new("baked")?;
    let machine = |user_data: &str| {
        let machine = Vm::of(image).direct().keep_in(folder.path());
        machine.networks(vec![isolated()]).user_data(user_data)
    };
    let mut checks = Checks::default();

    let vm = machine("services.app.environment.WHOM = 'this machine'").boot()?;
    vm.wait_ready()?;
    checks.check("the app, with the machine's variables", || {
        wait_service(&vm, "app.shop", "done", APP)?;
        serves(&vm, "baked for this machine\n")
    });
    checks.check("and with the files beside its Compose file", || {
        let look = "docker exec shop-web-1 /bin/busybox sh -c \
            'exec 2>&1; echo $SAYS; /bin/busybox cat /beside/file /note; echo x > /beside/file' || true";
        let want =
            "a variable\na file\na note\nsh: can't create /beside/file: Read-only file system\n";
        says(&vm, look, want)
    });
    checks.check("all images are there", || {
        says(&vm, IMAGES, "shop/tool:1\nshop/web:1\n")
    });
    checks.check("nothing was pulled", || {
        says(
            &vm,
            "tare logs --service app.shop | grep -ci pull; true",
            "0\n",
        )
    });
    checks.check("an image without an app", || {
        says(
            &vm,
            "docker run --rm shop/tool:1 /bin/busybox echo hello",
            "hello\n",
        )
    });
    checks.check("no failed service", || require_no_failed_service(&vm));
    checks.check("the name of an image is taken", || {
        vm.ssh("docker tag shop/tool:1 shop/web:1")?;
        says(&vm, WHICH, "tool\n")
    });
    checks.check("power off", || power_off(&vm));
    vm.kill()?;

    let vm = machine("").boot()?;
    vm.wait_ready()?;
    checks.check("and is the baked one's again after a reboot", || {
        wait_service(&vm, "app.shop", "done", APP)?;
        says(&vm, WHICH, "web\n")?;
        serves(&vm, "baked for all\n")
    });
    checks.check("images are loaded once", || {
        mentions(
            &vm,
            "tare logs --service engine",
            "/images/shop+tool:1: the engine has it",
        )
    });
    checks.check("power off again", || power_off(&vm));
    vm.kill()?;

    let vm = machine("apps.shop.services = {}").boot()?;
    vm.wait_ready()?;
    checks.check("user-data turns the app off", || {
        wait_service(&vm, "app.shop", "done", APP)?;
        says(&vm, "docker ps -aq", "")
    });
    checks.check("no failed service at the end", || {
        require_no_failed_service(&vm)
    });
    checks.check("power off at the end", || power_off(&vm));
    checks.verdict()?;
    folder.remove()
}

/// Reached from the host, and reaching nothing.
fn isolated() -> Network {
    Network {
        forwards: [22, 80].map(|guest| Forward { host: 0, guest }).to_vec(),
        isolated: true,
        ..Network::default()
    }
}

fn serves(vm: &Vm, want: &str) -> Result<()> {
    let page = vm.wait_http(80, "/", secs(30))?;
    ensure!(page == want, "the page is {page:?}, not {want:?}");
    Ok(())
}
