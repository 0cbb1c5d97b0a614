//! The reference page `docs/configuration.md`, written from the schema.
