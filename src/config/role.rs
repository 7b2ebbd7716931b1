//! What a token lets its bearer ask for: a word of the token file in, yes or no to an operation out.

use std::fmt;
use std::str::FromStr;

/// A set of operations of the admin API. Which operation needs which is one table in `admin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Looks: no secrets, no export, no config.
    Read,
    /// Moves traffic: splits, rollouts, drains, breakers, modes; names no address.
    Shift,
    /// Shifts, and adds and removes upstreams within its networks.
    Deploy,
    /// Tells of alerts, and nothing else.
    Alerts,
    /// All.
    Admin,
}

impl Role {
    /// Each of them.
    pub const ALL: [Role; 5] = [Role::Read, Role::Shift, Role::Deploy, Role::Alerts, Role::Admin];

    /// How files, documents and people name it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Shift => "shift",
            Role::Deploy => "deploy",
            Role::Alerts => "alerts",
            Role::Admin => "admin",
        }
    }

    /// Whether who has this role may ask for what needs `needed`.
    pub fn admits(self, needed: Role) -> bool {
        match self {
            Role::Admin => true,
            Role::Alerts => needed == Role::Alerts,
            Role::Deploy => matches!(needed, Role::Read | Role::Shift | Role::Deploy),
            Role::Shift => matches!(needed, Role::Read | Role::Shift),
            Role::Read => needed == Role::Read,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Role, ()> {
        Role::ALL.into_iter().find(|role| role.name() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_admits_to_what_the_lesser_ones_do_and_alerts_to_nothing_else() {
        let admits = |role: Role| {
            let to = Role::ALL.into_iter().filter(|needed| role.admits(*needed));
            to.map(Role::name).collect::<Vec<_>>().join(" ")
        };
        let all = Role::ALL.map(admits);
        let wanted =
            ["read", "read shift", "read shift deploy", "alerts", "read shift deploy alerts admin"];
        assert_eq!(all, wanted);
    }
}
