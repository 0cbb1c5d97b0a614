//! Which routes may send versions of the same records as routes to several destinations do.
//!
//! A record belongs to its namespace for good, but may change its set (a delete can come without one), its port and the
//! value that picks its destinations. So the namespace decides.

use std::{collections::HashSet, sync::Arc};

use super::{Delivery, NamespaceRoutes, PortRoutes, Route};

/// Marks every route of a namespace in which any route, of whatever port, has several destinations.
pub(super) fn mark<'a>(ports: impl Iterator<Item = &'a mut PortRoutes>) {
    let mut ports: Vec<_> = ports.collect();
    // Namespaces without routes of their own go by the port's.
    let others = ports.iter().any(|port| is_several(&port.fallback));
    let mut named = HashSet::new();
    for port in &ports {
        let several = port.namespaces.iter().filter(|(_, routes)| routes.is_several());
        named.extend(several.map(|(name, _)| name.clone()));
    }
    for port in &mut ports {
        if others || !named.is_empty() {
            set(&mut port.fallback);
        }
        for (name, routes) in &mut port.namespaces {
            if others || named.contains(name) {
                set(&mut routes.fallback);
                routes.sets.values_mut().for_each(set);
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
    matches!(route, Route::To(delivery) if delivery.several)
}

fn set(route: &mut Route) {
    if let Route::To(delivery) = route {
        match Arc::<Delivery>::get_mut(delivery) {
            Some(delivery) => delivery.several = true,
            None => debug_assert!(false, "every route has a delivery of its own"),
        }
    }
}
