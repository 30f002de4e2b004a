//! The slots of a template, and what fills them.

/// What goes into a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filling {
    /// Replaces the value of the marked line.
    Value(String),
    /// Lines to insert after the mark, indented as it is.
    Lines(Vec<String>),
    /// Removes the lines from `NAME {` to `NAME }`.
    Removal,
}

/// A slot that a setting needs, and what it puts there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// Name behind `# deployer:`.
    pub(super) name: &'static str,
    /// The setting, as people know it.
    pub(super) setting: &'static str,
    /// Whether a template without this slot cannot be given the setting. Others are missing where
    /// a template of one's own has no such part.
    pub(super) is_needed: bool,
    pub(super) filling: Filling,
}

/// Slots that are filled.
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
        self.0.extend(filling.map(|filling| Slot {
            name,
            setting,
            is_needed,
            filling,
        }));
    }
}
