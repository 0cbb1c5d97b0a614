//! The manual pages: one of the command, one of each subcommand, from the same words as `--help`.

use std::{fs, io, path::Path};

use clap::Command;
use clap_mangen::Man;

/// Writes `NAME.1` and `NAME-SUBCOMMAND.1` into `folder`, which is made when it is not there.
pub fn write(command: Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let about = command.get_about().cloned().unwrap_or_default();
    // The examples of the long help have a section of their own.
    let mut command = command.disable_help_subcommand(true).long_about(about);
    command.build();
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        let man = Man::new(subcommand.clone());
        fs::write(folder.join(man.get_filename()), page(&man)?)?;
    }
    let man = Man::new(command);
    fs::write(folder.join(man.get_filename()), page(&man)? + MORE)
}

/// A page with a complete title line, which lacks the date that no build should depend on.
fn page(man: &Man) -> io::Result<String> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    let page = String::from_utf8(page).map_err(io::Error::other)?;
    let lines = page.lines().map(|line| match line.strip_prefix(".TH ") {
        Some(title) => {
            let name = title.split(' ').next().unwrap_or_default();
            format!(".TH {name} 1 \"\" \"esp-connector {}\" \"esp-connector\"\n", env!("CARGO_PKG_VERSION"))
        }
        None => format!("{line}\n"),
    });
    Ok(lines.collect())
}

/// More sections of the main page, as man(7) wants them.
const MORE: &str = include_str!("manual/more.1");
