//! What the tests of this folder share.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};

use deployment::event::{Event, Reporter, Sink};

/// Keeps what is noted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn sink(&self) -> Sink {
        Sink::new(Box::new(self.clone()))
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Reporter for Notes {
    fn report(&mut self, _at: DateTime<Utc>, event: &Event) {
        if let Event::Noted { message } = event {
            self.0.lock().unwrap().push(message.clone());
        }
    }
}
