//! The table that `migrate` reads: docs/vendor-options.md without its column of tests, so that page and program cannot disagree.

use std::{env, fs, path::Path};

fn main() {
    let page = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"))
        .join("../docs/vendor-options.md");
    println!("cargo::rerun-if-changed={}", page.display());
    let page = fs::read_to_string(&page).expect("docs/vendor-options.md is in the repository");
    let mut table = String::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        if let (Some(options), Some(outcome), Some(_tests)) = (cells.next(), cells.next(), cells.next())
            && options != "option"
            && !options.starts_with("---")
        {
            table.push_str(&format!("{options}\t{outcome}\n"));
        }
    }
    let to = Path::new(&env::var_os("OUT_DIR").expect("set by cargo")).join("vendor_options.txt");
    fs::write(to, table).expect("the folder for what is built can be written");
}
