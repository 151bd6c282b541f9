//! Where libFuzzer begins: `tests/fuzz/seeds/`, a directory for each target, a file for each input. What was found wrong once is there
//! too, so that it is tried by each run of the tests.

use std::fs;
use std::path::Path;

/// Gives each seed of a target to its check.
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
    assert!(count > 4, "there are seeds");
}
