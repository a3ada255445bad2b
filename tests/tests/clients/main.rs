//! What Headstart promises to clients that others wrote: libraries from the registries of npm and PyPI, used
//! unmodified, at the versions that `tests/clients/` pins.

mod events;
mod following;
mod generated;
mod lives;
mod signatures;
mod sockets;
mod streams;
mod tokens;
