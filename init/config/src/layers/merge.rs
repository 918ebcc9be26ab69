//! One source over those before it.

use super::secret::REFERRING;
use super::tree::Path;
use crate::machine;
use toml::de::{DeTable, DeValue};

/// Tables that are replaced as a whole: a key of one source's would contradict those of another's.
const REPLACED: [&[&str]; 4] = [
    &["disks", "*", "match"],
    &["files", "*"],
    &["log", "forward"],
    &["services", "*", "lifecycle", "health"],
];

/// Lays `over` over `under`. Tables are merged key by key; any other value is replaced.
pub(super) fn overlay<'t>(under: &mut DeTable<'t>, over: DeTable<'t>) {
    overlay_at(&Path::default(), under, over);
}

fn overlay_at<'t>(path: &Path, under: &mut DeTable<'t>, over: DeTable<'t>) {
    for (key, mut value) in over {
        let path = path.key(key.get_ref());
        // The old key has the place of the old value.
        let old = under.remove(key.get_ref().as_ref());
        if let (Some(DeValue::Table(mut old)), DeValue::Table(new)) =
            (old.map(toml::Spanned::into_inner), value.get_mut())
        {
            if !is_replaced(&path, &old, new) {
                overlay_at(&path, &mut old, std::mem::take(new));
                *new = old;
            }
        }
        under.insert(key, value);
    }
}

/// Whether the table `old` at `path` gives way to `new` as a whole. An app does if it has another form, such as one that
/// is baked into the image.
fn is_replaced(path: &Path, old: &DeTable<'_>, new: &DeTable<'_>) -> bool {
    let forms = |app: &DeTable<'_>| machine::forms(|form| app.contains_key(form));
    let is_other_form =
        || path.matches(&["apps", "*"]) && !forms(new).is_empty() && forms(new) != forms(old);
    let mut replaced = REPLACED.iter().chain(REFERRING);
    replaced.any(|table| path.matches(table)) || is_other_form()
}
