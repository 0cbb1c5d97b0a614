//! Which routes may send versions of the same records as routes to several destinations do.
//!
//! A record belongs to its namespace for good, but may change its set (a delete can come without one), its port and the
//! value that picks its destinations. So the namespace decides.

use std::{collections::HashSet, sync::atomic::Ordering::Relaxed};

use super::{NamespaceRoutes, PortRoutes, Route};

/// Marks every route of a namespace in which any route, of whatever port, has several destinations.
pub(super) fn mark<'a>(ports: impl Iterator<Item = &'a PortRoutes>) {
    let ports: Vec<_> = ports.collect();
    // Namespaces without routes of their own go by the port's.
    let others = ports.iter().any(|port| is_several(&port.fallback));
    let mut named = HashSet::new();
    for port in &ports {
        let several = port.namespaces.iter().filter(|(_, routes)| routes.is_several());
        named.extend(several.map(|(name, _)| name.clone()));
    }
    for port in &ports {
        if others || !named.is_empty() {
            set(&port.fallback);
        }
        for (name, routes) in &port.namespaces {
            if others || named.contains(name) {
                set(&routes.fallback);
                routes.sets.values().for_each(set);
            }
        }
    }
}

impl NamespaceRoutes {
    fn is_several(&self) -> bool {
        is_several(&self.fallback) || self.sets.values().any(is_several)
    }
}

fn is_several(route: &Route) -> bool {
    matches!(route, Route::To(delivery) if delivery.has_several())
}

fn set(route: &Route) {
    if let Route::To(delivery) = route {
        delivery.several.store(true, Relaxed);
    }
}
