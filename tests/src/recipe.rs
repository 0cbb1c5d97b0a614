//! A configuration as a page of `docs/recipes` shows it: what a reader copies is what runs here.

use std::{fs, process::Command};

use crate::{ConnectorProcess, repository};

/// A whole configuration of a page.
#[derive(Debug)]
pub struct Recipe {
    page: String,
    yaml: String,
    files: Vec<(String, String)>,
}

impl Recipe {
    /// The first configuration on `docs/recipes/PAGE.md` that routes records, or the first that holds `mark`.
    pub fn of(page: &str, mark: &str) -> Self {
        let page = format!("docs/recipes/{page}.md");
        let text = fs::read_to_string(repository().join(&page)).unwrap();
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0));
        let yaml = blocks.into_iter().find(|block| block.contains("\nrouting:") && block.contains(mark));
        let yaml = yaml.unwrap_or_else(|| panic!("{page} shows no configuration with {mark:?}")).to_owned();
        Self { page, yaml, files: Vec::new() }
    }

    /// With another address, or whatever else is a reader's own.
    pub fn with(mut self, theirs: &str, ours: &str) -> Self {
        assert!(self.yaml.contains(theirs), "{}: no {theirs:?} in\n{}", self.page, self.yaml);
        self.yaml = self.yaml.replace(theirs, ours);
        self
    }

    /// With a file beside the configuration, which names it.
    pub fn with_file(mut self, name: &str, content: &str) -> Self {
        assert!(self.yaml.contains(name), "{}: nothing names {name}", self.page);
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// The configuration.
    pub fn yaml(&self) -> &str {
        &self.yaml
    }

    /// Runs it with `program`, a connector.
    pub async fn start(&self, program: Command, variables: &[(&'static str, String)]) -> ConnectorProcess {
        let files: Vec<_> =
            self.files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
        ConnectorProcess::start_with(program, &self.yaml, &files, variables).await
    }
}
