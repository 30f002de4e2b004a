//! Slots of a template and their contents.

/// Content of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filling {
    /// Replaces the value of the marked line.
    Value(String),
    /// Inserts these lines after the mark, with its indentation.
    Lines(Vec<String>),
    /// Removes the lines from `NAME {` to `NAME }`.
    Removal,
}

/// Slot that a setting fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// Name after `# deployer:`.
    pub(super) name: &'static str,
    /// Setting, as it is written in `deployer.toml`.
    pub(super) setting: &'static str,
    /// Set if a template without this slot cannot support the setting.
    ///
    /// An optional slot is missing where a custom template has no such part.
    pub(super) is_needed: bool,
    pub(super) filling: Filling,
}

/// List of slots to fill.
#[derive(Default)]
pub(super) struct Slots(pub(super) Vec<Slot>);

impl Slots {
    pub(super) fn removal(&mut self, name: &'static str, setting: &'static str, is_needed: bool) {
        self.put(name, setting, is_needed, Some(Filling::Removal));
    }

    pub(super) fn value(
        &mut self,
        name: &'static str,
        setting: &'static str,
        value: Option<String>,
    ) {
        self.put(name, setting, true, value.map(Filling::Value));
    }

    pub(super) fn optional_value(
        &mut self,
        name: &'static str,
        setting: &'static str,
        value: Option<String>,
    ) {
        self.put(name, setting, false, value.map(Filling::Value));
    }

    pub(super) fn lines(
        &mut self,
        name: &'static str,
        setting: &'static str,
        lines: impl IntoIterator<Item = String>,
    ) {
        self.put_lines(name, setting, true, lines);
    }

    pub(super) fn optional_lines(
        &mut self,
        name: &'static str,
        setting: &'static str,
        lines: impl IntoIterator<Item = String>,
    ) {
        self.put_lines(name, setting, false, lines);
    }

    fn put_lines(
        &mut self,
        name: &'static str,
        setting: &'static str,
        is_needed: bool,
        lines: impl IntoIterator<Item = String>,
    ) {
        let lines: Vec<String> = lines.into_iter().collect();
        self.put(
            name,
            setting,
            is_needed,
            // An empty list needs no slot, so that a custom template may lack it.
            (!lines.is_empty()).then_some(Filling::Lines(lines)),
        );
    }

    fn put(
        &mut self,
        name: &'static str,
        setting: &'static str,
        is_needed: bool,
        filling: Option<Filling>,
    ) {
        // Without a filling, the template keeps its own value, and needs no such slot.
        self.0.extend(filling.map(|filling| Slot {
            name,
            setting,
            is_needed,
            filling,
        }));
    }
}
