//! The configuration file: whatever is wrong with it has a place in it, and what is right makes a router.
#![no_main]

use std::{path::Path, time::Instant};

use esp_connector::{fuzzing, route::Router};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // To YAML a carriage return alone ends a line, too.
    let lines = text.split(['\n', '\r']).count();
    match fuzzing::configuration(text, Path::new("/nonexistent")) {
        Ok(loaded) => _ = Router::new(&loaded.config, Instant::now()),
        Err(problems) => {
            assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                assert!(problem.line <= lines + 1, "{problem}");
                assert!(!problem.to_string().is_empty());
            }
        }
    }
});
