//! Deployment strategies.

/// Deployment strategy of an ECS service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// New tasks get traffic as soon as they are healthy.
    #[default]
    Rolling,
    /// All traffic moves to the new tasks at once, after the gate.
    BlueGreen,
    /// Traffic moves in equal steps, after the gate.
    Linear {
        /// Percentage of the traffic that each step moves: 3 to 100.
        step_percent: u8,
    },
    /// A part of the traffic moves first and then the rest, after the gate.
    Canary {
        /// Percentage of the traffic that moves first: 1 to 100.
        canary_percent: u8,
    },
}

impl Strategy {
    /// Returns whether new versions have to pass the gate.
    pub fn is_gated(self) -> bool {
        // All others move traffic between two target groups, which the gate needs.
        self != Self::Rolling
    }

    /// Returns the name in `deployer.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::BlueGreen => "blue-green",
            Self::Linear { .. } => "linear",
            Self::Canary { .. } => "canary",
        }
    }

    /// Returns the name in the ECS API.
    pub(super) const fn of_ecs(self) -> &'static str {
        match self {
            Self::Rolling => "ROLLING",
            Self::BlueGreen => "BLUE_GREEN",
            Self::Linear { .. } => "LINEAR",
            Self::Canary { .. } => "CANARY",
        }
    }
}
