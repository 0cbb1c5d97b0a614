//! Where a notification goes and in which form, with every precedence settled when the configuration is loaded.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use foldhash::fast::RandomState;

use self::{
    destinations::{Destinations, Positions, Rules, Table},
    filter::Filter,
};
use crate::{
    batch::BatchPolicy,
    config::{
        Batching, Config, DeadLetter, Destination, Format, JsonRules, Namespace, RecordOrdering, Routing,
        Sections,
    },
    encode::{Encoder, FormatError, XDR_WHOLE},
    notification::ChangeNotification,
    ordering::LutCache,
    template::{Expression, Wanted},
    transform::{NameTransforms, Transform, TransformError},
};

mod destinations;
mod filter;
mod overlap;

/// Routes of every listening port.
#[derive(Debug)]
pub struct Router {
    destinations: Vec<String>,
    batch_policies: Arc<[BatchPolicy]>,
    /// Most records in a request, by position of the destination.
    batch_max: Vec<usize>,
    /// Position of the batch policy of dead letters, where any destination has a place for them.
    letter_policy: Option<usize>,
    /// What stands behind the batch policies, and which of them each destination gets requests of.
    batching: Arc<[Batched]>,
    used: Vec<BTreeSet<usize>>,
    orderings: Vec<(RecordOrdering, LutCaches)>,
    /// Numbers given to deliveries, here and in the routers before.
    deliveries: usize,
    ports: HashMap<u16, Arc<PortRoutes>>,
    other_ports: Arc<PortRoutes>,
}

/// A batch policy, and the format and settings that share it, where several records go together.
pub type Batched = (Option<(Format, Batching)>, BatchPolicy);

/// A cache for each of [`Router::destinations`]: a version that one destination has makes an older one stale only
/// there.
pub type LutCaches = Arc<[Arc<LutCache>]>;

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
    /// To be sent.
    To(Arc<Delivery>),
}

/// How records of one kind are sent, and to whom.
#[derive(Debug)]
pub struct Delivery {
    /// Writes the record.
    pub encoder: Arc<Encoder>,
    /// Position in [`Router::batch_policies`]: how what is written is put into requests.
    pub batch: usize,
    /// Where last-update times are remembered, when no version may arrive after a newer one.
    pub ordering: Option<LutCaches>,
    /// Which bins are sent, and under which names, unless all are as they came.
    pub transform: Option<Transform>,
    /// Tells it from all others that are different.
    pub number: usize,
    several: AtomicBool,
    filter: Option<Filter>,
    destinations: Destinations,
}

/// What is to be done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Who gets it: positions in [`Router::destinations`], none when it is to be skipped.
    pub destinations: &'a [usize],
    /// It is not wanted: filtered out, or of a kind that the format skips.
    pub filtered: bool,
    /// An expression could not be worked out for it, so that what applies is what applies then.
    pub doubtful: Option<&'static str>,
}

impl Delivery {
    /// Whether some of its records, or of those of the same namespaces, go to several destinations.
    pub fn has_several(&self) -> bool {
        self.several.load(Relaxed)
    }

    /// What becomes of a record. Looks at it as it was shipped, before any bin is dropped or renamed.
    pub fn decide(&self, notification: &ChangeNotification<'_>) -> Decision<'_> {
        let mut doubtful = None;
        let keeps = |filter: &Filter| {
            // Nothing is lost for an expression that does not fit: such a record is sent.
            filter.keeps(notification).unwrap_or_else(|| {
                doubtful = Some("filter-not-applicable");
                true
            })
        };
        let filtered = self.encoder.skips(notification.operation) || !self.filter.as_ref().is_none_or(keeps);
        if filtered {
            return Decision { destinations: &[], filtered, doubtful };
        }
        let (destinations, certain) = self.destinations.of(notification);
        if !certain {
            doubtful = Some("routing-not-applicable");
        }
        Decision { destinations, filtered, doubtful }
    }
}

/// A configuration that cannot be turned into routes.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A route names a destination that is not configured.
    #[error("routing names destination {0:?}, which is not configured")]
    UnknownDestination(String),
    /// The format cannot be used as configured.
    #[error("the format of {0}: {1}")]
    Format(String, FormatError),
    /// An expression cannot be read.
    #[error("the expressions of {0}: {1}")]
    Expression(String, String),
    /// A name cannot be changed as configured.
    #[error("the transforms of {0}: {1}")]
    Transform(String, TransformError),
}

impl Router {
    /// Settles set over namespace over port over root for every kind of record, section by section.
    pub fn new(config: &Config, now: Instant) -> Result<Self, RouteError> {
        Self::made(config, now, None)
    }

    /// The routes of the configuration that comes after this one. What both have alike keeps its position among the batch
    /// policies, its last-update times, and nothing gets a number that was given before.
    pub fn followed_by(&self, config: &Config, now: Instant) -> Result<Self, RouteError> {
        Self::made(config, now, Some(self))
    }

    fn made(config: &Config, now: Instant, before: Option<&Self>) -> Result<Self, RouteError> {
        let destinations: Vec<String> = config.destinations.keys().cloned().collect();
        let none = HashMap::new();
        let builder = Builder {
            destinations: &destinations,
            now,
            before,
            made: RefCell::new(Made::after(before, destinations.len())),
        };
        let mut ports = HashMap::new();
        for (port, overrides) in &config.ports {
            let levels = [Some(&overrides.sections), Some(&config.root)];
            let namespaces = [&overrides.namespaces, &config.namespaces];
            ports.insert(*port, builder.port(levels, namespaces)?);
        }
        let namespaces = [&none.into_iter().collect(), &config.namespaces];
        let other_ports = builder.port([None, Some(&config.root)], namespaces)?;
        overlap::mark(ports.values().chain([&other_ports]));
        let letter_policy = builder.letter_policy(config)?;
        let Made { batch_max, batching, mut used, orderings, deliveries, .. } = builder.made.into_inner();
        if let Some(policy) = letter_policy {
            for place in config.destinations.values().filter_map(place) {
                let position = destinations.iter().position(|name| name == place);
                position.map(|position| used[position].insert(policy));
            }
        }
        let batch_policies = batching.iter().map(|(_, policy)| policy.clone()).collect();
        let ports = ports.into_iter().map(|(port, routes)| (port, Arc::new(routes))).collect();
        let other_ports = Arc::new(other_ports);
        Ok(Self {
            destinations,
            batch_policies,
            batch_max,
            letter_policy,
            batching: batching.into(),
            used,
            orderings,
            deliveries,
            ports,
            other_ports,
        })
    }

    /// Names of the destinations that routes refer to by position.
    pub fn destinations(&self) -> &[String] {
        &self.destinations
    }

    /// How records are put into requests; a [`Delivery`] refers to one by position.
    pub fn batch_policies(&self) -> &Arc<[BatchPolicy]> {
        &self.batch_policies
    }

    /// Most records that any route puts into a request to the destination at this position.
    pub fn batch_max(&self, destination: usize) -> usize {
        self.batch_max[destination]
    }

    /// How dead letters are put into requests, one each: a position in [`Router::batch_policies`]. `None` when no
    /// destination has a place for them.
    pub fn letter_policy(&self) -> Option<usize> {
        self.letter_policy
    }

    /// What stands behind the batch policies.
    pub fn batching(&self) -> &Arc<[Batched]> {
        &self.batching
    }

    /// Whether a lane that was made for `batching` knows how to put together all requests to the destination at `position`.
    pub fn batches_within(&self, position: usize, batching: &[Batched]) -> bool {
        self.used[position].iter().all(|policy| self.batching.get(*policy) == batching.get(*policy))
    }

    /// Where last-update times are remembered.
    pub fn lut_caches(&self) -> impl Iterator<Item = &Arc<LutCache>> {
        self.orderings.iter().flat_map(|(_, caches)| caches.iter())
    }

    fn lut_cache(&self, ordering: &RecordOrdering, destination: &str) -> Option<&Arc<LutCache>> {
        let (_, caches) = self.orderings.iter().find(|(known, _)| known == ordering)?;
        caches.get(self.destinations.iter().position(|name| name == destination)?)
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
    now: Instant,
    before: Option<&'a Router>,
    made: RefCell<Made>,
}

/// What was made so far: equal settings share one.
struct Made {
    batch_max: Vec<usize>,
    encoders: Vec<(Format, Arc<Encoder>)>,
    batching: Vec<Batched>,
    used: Vec<BTreeSet<usize>>,
    orderings: Vec<(RecordOrdering, LutCaches)>,
    deliveries: usize,
}

impl Made {
    /// Positions among the batch policies stay the same, those that nobody uses any more included, until there are too many
    /// of them.
    fn after(before: Option<&Router>, destinations: usize) -> Self {
        let batching = before.map(|before| before.batching.to_vec()).unwrap_or_default();
        Self {
            batch_max: vec![1; destinations],
            encoders: Vec::new(),
            batching: if batching.len() > BATCHING_KEPT_MAX { Vec::new() } else { batching },
            used: vec![BTreeSet::new(); destinations],
            orderings: Vec::new(),
            deliveries: before.map_or(0, |before| before.deliveries),
        }
    }
}

/// Kinds of sets in a namespace that others are compared with.
const ALIKE_MAX: usize = 32;

/// Batch policies that one configuration hands on to the next.
const BATCHING_KEPT_MAX: usize = 256;

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
            // Sets that differ in nothing go by one route: it is then at hand for each of them, however many they are.
            let mut alike: Vec<(Vec<&Sections>, Route)> = vec![(Vec::new(), fallback.clone())];
            for set in found.iter().flat_map(|namespace| namespace.sets.keys()) {
                let of_set = found.iter().filter_map(|namespace| namespace.sets.get(set));
                let own: Vec<&Sections> =
                    of_set.filter(|sections| **sections != Sections::default()).collect();
                let known = alike.iter().find(|(other, _)| *other == own).map(|(_, route)| route.clone());
                let route = match known {
                    Some(route) => route,
                    None => {
                        let levels: Vec<&Sections> = own.iter().chain(&levels).copied().collect();
                        let route = self.route(&levels, || format!("namespaces.{name}.sets.{set}"))?;
                        if alike.len() < ALIKE_MAX {
                            alike.push((own, route.clone()));
                        }
                        route
                    }
                };
                sets.insert(set.clone().into_bytes(), route);
            }
            namespaces.insert(name.clone().into_bytes(), NamespaceRoutes { fallback, sets });
        }
        Ok(PortRoutes { fallback, namespaces })
    }

    /// The first level that has a section decides about that section.
    fn route(&self, levels: &[&Sections], place: impl Fn() -> String) -> Result<Route, RouteError> {
        fn first<'a, T>(
            levels: &[&'a Sections],
            of: impl Fn(&'a Sections) -> Option<&'a T>,
        ) -> Option<&'a T> {
            levels.iter().find_map(|sections| of(sections))
        }
        let destinations = match first(levels, |sections| sections.routing.as_ref()) {
            None | Some(Routing::Skip) => return Ok(Route::Skip),
            Some(Routing::To(names)) => Destinations::All(self.positions(names)?),
            Some(Routing::By(table)) => {
                let by_value = table.destinations.iter();
                let by_value = by_value.map(|(value, names)| Ok((value.clone(), self.positions(names)?)));
                Destinations::By(Table {
                    key: table.key.clone(),
                    transforms: NameTransforms::new(&table.transforms)
                        .map_err(|error| RouteError::Transform(place(), error))?,
                    by_value: by_value.collect::<Result<_, RouteError>>()?,
                    default: self.positions(&table.default)?,
                })
            }
            Some(Routing::Rules(settings)) => {
                let (mut rules, mut wanted) = (Vec::new(), Wanted::default());
                for rule in &settings.rules {
                    let when = Expression::new(&rule.when)
                        .map_err(|error| RouteError::Expression(place(), error.to_string()))?;
                    wanted = wanted.and(when.wanted());
                    rules.push((when, self.positions(&rule.destinations)?));
                }
                Destinations::Rules(Rules { rules, default: self.positions(&settings.default)?, wanted })
            }
        };
        let filter = first(levels, |sections| sections.filter.as_ref()).map(Filter::new).transpose();
        let filter = filter.map_err(|error| RouteError::Expression(place(), error.to_string()))?;
        let format = first(levels, |sections| sections.format.as_ref());
        let format = format.unwrap_or(&Format::Xdr);
        let batching = first(levels, |sections| sections.batching.as_ref());
        let ordering = first(levels, |sections| sections.record_ordering.as_ref());
        let transform = first(levels, |sections| sections.bin_transforms.as_ref()).map(Transform::new);
        let transform = transform.transpose().map_err(|error| RouteError::Transform(place(), error))?;
        let transform = transform.filter(|transform| !transform.is_empty());
        let fail = |error| RouteError::Format(place(), error);
        let encoder = self.encoder(format).map_err(fail)?;
        if transform.is_some() && *format == Format::Xdr {
            return Err(fail(FormatError { problem: XDR_WHOLE.to_owned() }));
        }
        let batch = self.batch(format, &encoder, batching).map_err(fail)?;
        let mut made = self.made.borrow_mut();
        let records_max = made.batching[batch].1.records_max;
        for position in destinations.every() {
            made.batch_max[position] = made.batch_max[position].max(records_max);
            made.used[position].insert(batch);
        }
        made.deliveries += 1;
        let number = made.deliveries;
        drop(made);
        let ordering = ordering.filter(|ordering| ordering.enabled).map(|ordering| self.ordering(ordering));
        let several = AtomicBool::new(destinations.may_be_several());
        let delivery =
            Delivery { encoder, batch, ordering, transform, number, several, filter, destinations };
        Ok(Route::To(Arc::new(delivery)))
    }

    /// Positions of the named destinations, each once.
    fn positions(&self, names: &[String]) -> Result<Positions, RouteError> {
        let mut positions = Vec::new();
        for name in names {
            let position = self.destinations.iter().position(|known| known == name);
            let position = position.ok_or_else(|| RouteError::UnknownDestination(name.clone()))?;
            if !positions.contains(&position) {
                positions.push(position);
            }
        }
        Ok(positions.into())
    }

    fn encoder(&self, format: &Format) -> Result<Arc<Encoder>, FormatError> {
        let encoders = &mut self.made.borrow_mut().encoders;
        if let Some((_, encoder)) = encoders.iter().find(|(known, _)| known == format) {
            return Ok(Arc::clone(encoder));
        }
        let encoder = Arc::new(Encoder::new(format.clone())?);
        encoders.push((format.clone(), Arc::clone(&encoder)));
        Ok(encoder)
    }

    /// Position of the batch policy of this format. Formats do not share requests, but where every record goes alone one
    /// policy serves them all: a thousand schemas are no more work for a lane than one.
    fn batch(
        &self,
        format: &Format,
        encoder: &Encoder,
        batching: Option<&Batching>,
    ) -> Result<usize, FormatError> {
        let policies = &mut self.made.borrow_mut().batching;
        let batching = batching.filter(|batching| batching.enabled);
        let key = batching.map(|batching| (format.clone(), batching.clone()));
        let policy = encoder.batch_policy(batching)?;
        if let Some(position) = policies.iter().position(|(known, other)| *known == key && *other == policy) {
            return Ok(position);
        }
        policies.push((key, policy));
        Ok(policies.len() - 1)
    }

    /// Position of the batch policy of dead letters, which are JSON. All that they name must exist.
    fn letter_policy(&self, config: &Config) -> Result<Option<usize>, RouteError> {
        let places: Vec<String> = config.destinations.values().filter_map(place).cloned().collect();
        if self.positions(&places)?.is_empty() {
            return Ok(None);
        }
        let format = Format::Json(JsonRules::default());
        let fail = |error| RouteError::Format("dead letters".to_owned(), error);
        let encoder = self.encoder(&format).map_err(fail)?;
        self.batch(&format, &encoder, None).map(Some).map_err(fail)
    }

    fn ordering(&self, ordering: &RecordOrdering) -> LutCaches {
        let made = &mut self.made.borrow_mut().orderings;
        if let Some((_, caches)) = made.iter().find(|(known, _)| known == ordering) {
            return Arc::clone(caches);
        }
        let records_max = ordering.lut_cache_max_records.get();
        let cache = |name: &String| {
            let known = self.before.and_then(|before| before.lut_cache(ordering, name));
            let fresh = || Arc::new(LutCache::new(ordering.lut_cache_ttl, records_max, self.now));
            known.cloned().unwrap_or_else(fresh)
        };
        let caches: LutCaches = self.destinations.iter().map(cache).collect();
        made.push((ordering.clone(), Arc::clone(&caches)));
        caches
    }
}

fn place(destination: &Destination) -> Option<&String> {
    match destination.dead_letter.as_ref()? {
        DeadLetter::To(name) => Some(name),
        DeadLetter::Drop => None,
    }
}

#[cfg(test)]
mod tests;
