//! Answers in the order in which they are given.

use std::collections::VecDeque;
use std::sync::Mutex;

/// A sequence of answers; the last stays for as long as somebody asks.
pub(crate) struct Script<T> {
    question: &'static str,
    answers: Mutex<VecDeque<T>>,
}

impl<T: Clone> Script<T> {
    /// Answers to this question.
    pub(crate) fn new(question: &'static str, answers: impl IntoIterator<Item = T>) -> Self {
        Self {
            question,
            answers: Mutex::new(answers.into_iter().collect()),
        }
    }

    /// The next answer.
    pub(crate) fn next(&self) -> T {
        let mut answers = self.answers.lock().unwrap();
        let next = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        next.unwrap_or_else(|| panic!("the script has no answer to {}", self.question))
    }

    /// The next answer, which stays the next one.
    pub(crate) fn peek(&self) -> T {
        let answers = self.answers.lock().unwrap();
        let next = answers.front().cloned();
        next.unwrap_or_else(|| panic!("the script has no answer to {}", self.question))
    }

    /// How many answers were not given yet; the last of all never counts.
    pub(crate) fn left(&self) -> usize {
        self.answers.lock().unwrap().len().saturating_sub(1)
    }
}
