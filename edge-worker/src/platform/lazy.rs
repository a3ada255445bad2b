//! What a Durable Object gets when it first needs it: its store, and what it remembers.

use std::cell::{Cell, OnceCell, RefCell};

use crate::http::error::Error;

/// A store, opened when it is first needed.
#[derive(Debug)]
pub struct Lazy<T>(OnceCell<T>);

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self(OnceCell::new())
    }
}

impl<T> Lazy<T> {
    /// Returns it; the first time, after opening it.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn get(&self, open: impl FnOnce() -> Result<T, Error>) -> Result<&T, Error> {
        if let Some(value) = self.0.get() {
            return Ok(value);
        }
        let value = open()?;
        Ok(self.0.get_or_init(|| value))
    }

    /// Returns it if it is open, or there is one to `find`.
    ///
    /// # Errors
    /// Those of `find`.
    pub fn find(
        &self,
        find: impl FnOnce() -> Result<Option<T>, Error>,
    ) -> Result<Option<&T>, Error> {
        if self.0.get().is_none()
            && let Some(value) = find()?
        {
            return self.get(|| Ok(value)).map(Some);
        }
        Ok(self.0.get())
    }
}

/// What an object remembers, once it is loaded.
#[derive(Debug)]
pub struct Loaded<T> {
    value: RefCell<Option<T>>,
    loads: Cell<u32>,
}

impl<T> Default for Loaded<T> {
    fn default() -> Self {
        Self {
            value: RefCell::new(None),
            loads: Cell::new(0),
        }
    }
}

impl<T> Loaded<T> {
    /// Returns whether it is loaded.
    pub fn is_loaded(&self) -> bool {
        self.value.borrow().is_some()
    }

    /// Loads it, in place of what was there.
    pub fn load(&self, value: T) {
        *self.value.borrow_mut() = Some(value);
        self.loads.set(self.loads.get() + 1);
    }

    /// Returns how often it was loaded: what was begun before the last time is about something else.
    pub fn loads(&self) -> u32 {
        self.loads.get()
    }

    /// Forgets it: it is to be loaded again.
    pub fn forget(&self) {
        *self.value.borrow_mut() = None;
    }

    /// Works with it.
    ///
    /// # Errors
    /// [`Error::Platform`] while it is not loaded.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Result<R, Error> {
        let mut memory = self.value.borrow_mut();
        let memory = memory.as_mut();
        memory
            .map(work)
            .ok_or_else(|| Error::Platform("an object that was not loaded".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_opened_once_and_one_that_is_found_is_not_opened() {
        let lazy = Lazy::default();
        assert_eq!(lazy.find(|| Ok(None)).unwrap(), None);
        assert_eq!(lazy.get(|| Ok(1)).unwrap(), &1);
        assert_eq!(lazy.get(|| Ok(2)).unwrap(), &1);
        assert_eq!(lazy.find(|| Ok(Some(3))).unwrap(), Some(&1));
        let found = Lazy::default();
        assert_eq!(found.find(|| Ok(Some(4))).unwrap(), Some(&4));
        assert_eq!(found.get(|| Ok(5)).unwrap(), &4);
    }

    #[test]
    fn nothing_is_remembered_before_it_is_loaded_nor_once_it_is_forgotten() {
        let memory = Loaded::default();
        assert!(memory.with(|value: &mut u32| *value).is_err());
        memory.load(1);
        memory.with(|value| *value += 1).unwrap();
        assert_eq!(memory.with(|value| *value).unwrap(), 2);
        memory.forget();
        assert!(!memory.is_loaded());
        memory.load(3);
        assert_eq!(memory.loads(), 2);
    }
}
