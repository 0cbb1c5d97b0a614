//! Every AWS target end to end: a simulated source, the connector as a process, a front that checks signatures and
//! permissions, a real `bootstrap` behind it, SQS; and everything that goes wrong on the way.

mod delivery;
mod edge;
mod operator;
mod scene;
mod secrets;
