//! The seeds of libFuzzer in `tests/fuzz/seeds/`: a directory for each target, a file for each
//! input. Inputs that once found a fault are among them, so each run of the tests checks them.

use std::fs;
use std::path::Path;

/// Calls the check with each seed of a target.
pub(crate) fn try_all(target: &str, check: impl Fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    let files = fs::read_dir(seeds.join(target)).expect("seeds");
    let mut count = 0;
    for file in files {
        let path = file.expect("an entry").path();
        println!("{}", path.display());
        check(&fs::read(path).expect("a seed"));
        count += 1;
    }
    assert!(count > 4, "{target} has {count} seeds, expected 5 or more");
}
