//! Where a notification goes and in which form, with every precedence settled when the configuration is loaded.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use crate::{
    config::{Config, Format, Namespace, Routing, Sections},
    encode::{Encoder, FormatError},
};

/// Routes of every listening port.
#[derive(Debug)]
pub struct Router {
    destinations: Vec<String>,
    ports: HashMap<u16, Arc<PortRoutes>>,
    other_ports: Arc<PortRoutes>,
}

/// Routes for what arrives at one port.
#[derive(Debug)]
pub struct PortRoutes {
    fallback: Route,
    namespaces: HashMap<Vec<u8>, NamespaceRoutes, RandomState>,
}

#[derive(Debug)]
struct NamespaceRoutes {
    fallback: Route,
    sets: HashMap<Vec<u8>, Route, RandomState>,
}

/// What the configuration wants for one kind of record.
#[derive(Clone, Debug)]
pub enum Route {
    /// Nothing: acknowledged at once.
    Skip,
    /// Written by `encoder`, sent to all of `destinations` (positions in [`Router::destinations`]).
    To {
        /// Writes the record.
        encoder: Arc<Encoder>,
        /// Who gets it.
        destinations: Arc<[usize]>,
    },
}

/// A configuration that cannot be turned into routes.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A route names a destination that is not configured.
    #[error("routing names destination {0:?}, which is not configured")]
    UnknownDestination(String),
    /// Records would be sent in no format.
    #[error("{0} routes records but no `format` applies to them")]
    NoFormat(String),
    /// The format cannot be used as configured.
    #[error("the format of {0}: {1}")]
    Format(String, FormatError),
}

impl Router {
    /// Settles set over namespace over port over root for every kind of record, section by section.
    pub fn new(config: &Config) -> Result<Self, RouteError> {
        let destinations: Vec<String> = config.destinations.keys().cloned().collect();
        let none = HashMap::new();
        let builder = Builder { destinations: &destinations, encoders: std::cell::RefCell::new(Vec::new()) };
        let mut ports = HashMap::new();
        for (port, overrides) in &config.ports {
            let levels = [Some(&overrides.sections), Some(&config.root)];
            let namespaces = [&overrides.namespaces, &config.namespaces];
            ports.insert(*port, Arc::new(builder.port(levels, namespaces)?));
        }
        let namespaces = [&none.into_iter().collect(), &config.namespaces];
        let other_ports = Arc::new(builder.port([None, Some(&config.root)], namespaces)?);
        Ok(Self { destinations, ports, other_ports })
    }

    /// Names of the destinations that routes refer to by position.
    pub fn destinations(&self) -> &[String] {
        &self.destinations
    }

    /// Routes for what arrives at `port`.
    pub fn for_port(&self, port: u16) -> Arc<PortRoutes> {
        Arc::clone(self.ports.get(&port).unwrap_or(&self.other_ports))
    }
}

impl PortRoutes {
    /// The route of a record.
    pub fn route(&self, namespace: &[u8], set: Option<&[u8]>) -> &Route {
        let Some(routes) = self.namespaces.get(namespace) else { return &self.fallback };
        set.and_then(|set| routes.sets.get(set)).unwrap_or(&routes.fallback)
    }
}

type Namespaces = std::collections::BTreeMap<String, Namespace>;

struct Builder<'a> {
    destinations: &'a [String],
    /// Encoders made so far: equal formats share one.
    encoders: std::cell::RefCell<Vec<(Format, Arc<Encoder>)>>,
}

impl Builder<'_> {
    /// `base` are the port's and the root's sections, `layers` the port's own namespaces and the global ones; in both
    /// the earlier wins.
    fn port(&self, base: [Option<&Sections>; 2], layers: [&Namespaces; 2]) -> Result<PortRoutes, RouteError> {
        let base: Vec<&Sections> = base.into_iter().flatten().collect();
        let fallback = self.route(&base, || "the root".to_owned())?;
        let mut namespaces = HashMap::default();
        for name in layers.iter().flat_map(|layer| layer.keys()) {
            let found: Vec<&Namespace> = layers.iter().filter_map(|layer| layer.get(name)).collect();
            let levels: Vec<&Sections> =
                found.iter().map(|namespace| &namespace.sections).chain(base.iter().copied()).collect();
            let fallback = self.route(&levels, || format!("namespaces.{name}"))?;
            let mut sets = HashMap::default();
            for set in found.iter().flat_map(|namespace| namespace.sets.keys()) {
                let levels: Vec<&Sections> = found
                    .iter()
                    .filter_map(|namespace| namespace.sets.get(set))
                    .chain(levels.iter().copied())
                    .collect();
                let route = self.route(&levels, || format!("namespaces.{name}.sets.{set}"))?;
                sets.insert(set.clone().into_bytes(), route);
            }
            namespaces.insert(name.clone().into_bytes(), NamespaceRoutes { fallback, sets });
        }
        Ok(PortRoutes { fallback, namespaces })
    }

    /// The first level that has a section decides about that section.
    fn route(&self, levels: &[&Sections], place: impl Fn() -> String) -> Result<Route, RouteError> {
        let routing = levels.iter().find_map(|sections| sections.routing.as_ref());
        let names = match routing {
            None | Some(Routing::Skip) => return Ok(Route::Skip),
            Some(Routing::To(names)) => names,
            Some(Routing::By(table)) => &table.default,
        };
        let format = levels.iter().find_map(|sections| sections.format.as_ref());
        let format = format.ok_or_else(|| RouteError::NoFormat(place()))?;
        let mut destinations = Vec::new();
        for name in names {
            let position = self.destinations.iter().position(|known| known == name);
            let position = position.ok_or_else(|| RouteError::UnknownDestination(name.clone()))?;
            if !destinations.contains(&position) {
                destinations.push(position);
            }
        }
        Ok(Route::To { encoder: self.encoder(format, place)?, destinations: destinations.into() })
    }

    fn encoder(&self, format: &Format, place: impl Fn() -> String) -> Result<Arc<Encoder>, RouteError> {
        let mut encoders = self.encoders.borrow_mut();
        if let Some((_, encoder)) = encoders.iter().find(|(known, _)| known == format) {
            return Ok(Arc::clone(encoder));
        }
        let encoder = Encoder::new(format.clone()).map_err(|error| RouteError::Format(place(), error))?;
        let encoder = Arc::new(encoder);
        encoders.push((format.clone(), Arc::clone(&encoder)));
        Ok(encoder)
    }
}
