//! How a new version takes over.

/// How ECS replaces the tasks of a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// New tasks take traffic as soon as they are healthy.
    #[default]
    Rolling,
    /// New tasks take traffic, all at once, when they have passed the gate.
    BlueGreen,
    /// After the gate, traffic moves in equal steps.
    Linear {
        /// Percent of the traffic that each step moves: 3 to 100.
        step_percent: u8,
    },
    /// After the gate, a part of the traffic moves first, and then all.
    Canary {
        /// Percent of the traffic that moves first: 1 to 100.
        canary_percent: u8,
    },
}

impl Strategy {
    /// Returns whether new versions have to pass the gate.
    pub fn is_gated(self) -> bool {
        self != Self::Rolling
    }

    /// Returns the name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::BlueGreen => "blue-green",
            Self::Linear { .. } => "linear",
            Self::Canary { .. } => "canary",
        }
    }

    /// Returns ECS's name.
    pub(super) const fn of_ecs(self) -> &'static str {
        match self {
            Self::Rolling => "ROLLING",
            Self::BlueGreen => "BLUE_GREEN",
            Self::Linear { .. } => "LINEAR",
            Self::Canary { .. } => "CANARY",
        }
    }
}
