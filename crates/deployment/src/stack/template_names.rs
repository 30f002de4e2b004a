//! Names in the template that this program relies on.

/// Declares an enum whose variants have the names of the template.
macro_rules! template_names {
    ($(#[$meta:meta])* pub enum $name:ident { $($variant:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("`", stringify!($variant), "`")] $variant,)+
        }

        impl $name {
            /// All names.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the name as the template writes it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    // Derived from the variant, so that the two cannot differ.
                    $(Self::$variant => stringify!($variant),)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

template_names! {
    /// Parameter of the template.
    pub enum ParameterName {
        ImageUri,
        ZoneA,
        ZoneB,
        CpuArchitecture,
        Cpu,
        Memory,
        ContainerPort,
        StartSeconds,
        DesiredCount,
        MaxCount,
        SpotPercent,
        ReviewerKind,
        ReviewerPrincipal,
        ReviewerPassword,
    }
}

template_names! {
    /// Output of the template.
    pub enum OutputName {
        Url,
        ZoneA,
        ZoneB,
        RepositoryName,
        ClusterName,
        ServiceName,
        TaskDefinitionArn,
        TargetGroupArn,
        OtherTargetGroupArn,
        LogGroupName,
        ReviewerUserName,
        ReviewerRoleArn,
    }
}

template_names! {
    /// Resource of the template, by its logical ID.
    pub enum ResourceName {
        Repository,
        TaskDefinition,
        Service,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::resource::{declares_parameter, resources_of};

    const TEMPLATE: &str = include_str!("../../../../infra/service.yaml");

    #[test]
    fn the_template_has_what_this_program_relies_on() {
        for name in ParameterName::ALL {
            assert!(declares_parameter(TEMPLATE, name.as_str()), "{name}");
        }
        let (_, outputs) = TEMPLATE.split_once("\nOutputs:\n").unwrap();
        for name in OutputName::ALL {
            let is_of_the_gate = *name == OutputName::OtherTargetGroupArn;
            let is_there = outputs.contains(&format!("  {name}:\n"));
            assert!(is_there != is_of_the_gate, "{name}");
        }
        let resources = resources_of(TEMPLATE);
        for name in ResourceName::ALL {
            let is_meant = |id: &str| id == name.as_str();
            assert!(
                resources.iter().any(|one| is_meant(&one.logical_id)),
                "{name}"
            );
        }
    }
}
