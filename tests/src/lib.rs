//! End-to-end tests of Headstart against real workerd and the real origin-publisher.
