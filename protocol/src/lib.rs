//! What Headstart's edge and origin say to each other: pure rules, no I/O, no clock.
