//! The manual pages: one of the command, one of each subcommand, from the same words as `--help`.

use std::{fs, io, path::Path};

use clap::Command;
use clap_mangen::Man;

/// Writes `NAME.1` and `NAME-SUBCOMMAND.1` into `folder`, which is made when it is not there.
pub fn write(command: Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let name = command.get_name().to_owned();
    let mut command = command.disable_help_subcommand(true);
    command.build();
    clap_mangen::generate_to(command.clone(), folder)?;
    // Again, with what no help text holds.
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    page.extend_from_slice(MORE.as_bytes());
    fs::write(folder.join(format!("{name}.1")), page)
}

/// More sections of the main page, as man(7) wants them.
const MORE: &str = include_str!("manual/more.1");
