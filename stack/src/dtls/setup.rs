//! Who begins the handshake (RFC 4145, RFC 5763 section 5).

use std::fmt;
use std::str::FromStr;

/// The value of `a=setup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setup {
    /// It begins: it is the client.
    Active,
    /// It is begun with: it is the server.
    Passive,
    /// Either, as the answer says. Only an offer may leave it open.
    Actpass,
    /// Nobody begins for the time being.
    Holdconn,
}

/// What one side is in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It sends the ClientHello.
    Client,
    /// It waits for it.
    Server,
}

impl Setup {
    /// Every value.
    pub const ALL: [Setup; 4] = [Setup::Active, Setup::Passive, Setup::Actpass, Setup::Holdconn];
    /// What an offer says: the answerer knows better whether it can begin (RFC 5763 section 5).
    pub const OFFERED: Setup = Setup::Actpass;
    /// What an offer means that does not say (RFC 4145 section 4).
    pub const OFFER_DEFAULT: Setup = Setup::Active;
    /// What an answer means that does not say.
    pub const ANSWER_DEFAULT: Setup = Setup::Passive;

    /// How it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Setup::Active => "active",
            Setup::Passive => "passive",
            Setup::Actpass => "actpass",
            Setup::Holdconn => "holdconn",
        }
    }

    /// What to answer to an offer: active if it may be, since then the handshake begins one way earlier.
    pub const fn answer(self) -> Setup {
        match self {
            Setup::Actpass | Setup::Passive => Setup::Active,
            Setup::Active => Setup::Passive,
            Setup::Holdconn => Setup::Holdconn,
        }
    }

    /// Whether an answer to this offer may say so (RFC 4145 section 4.1).
    pub const fn may_be_answered(self, answer: Setup) -> bool {
        match answer {
            Setup::Active => matches!(self, Setup::Passive | Setup::Actpass),
            Setup::Passive => matches!(self, Setup::Active | Setup::Actpass),
            Setup::Actpass => false,
            Setup::Holdconn => true,
        }
    }
}

/// The roles of the offerer and of the answerer.
///
/// # Errors
/// [`SetupError::Answer`] of what the offer does not allow, [`SetupError::Held`] if the answer lets nobody begin.
pub fn role_of(offer: Setup, answer: Setup) -> Result<(Role, Role), SetupError> {
    match answer {
        _ if !offer.may_be_answered(answer) => Err(SetupError::Answer { offer, got: answer }),
        Setup::Active => Ok((Role::Server, Role::Client)),
        Setup::Passive => Ok((Role::Client, Role::Server)),
        Setup::Actpass | Setup::Holdconn => Err(SetupError::Held),
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Setup {
    type Err = SetupError;

    fn from_str(value: &str) -> Result<Self, SetupError> {
        let known = Setup::ALL.into_iter().find(|setup| setup.name().eq_ignore_ascii_case(value));
        known.ok_or_else(|| SetupError::Unknown { got: value.chars().take(16).collect() })
    }
}

/// Why there are no roles.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Not one of the four.
    #[error("expected active, passive, actpass or holdconn, got {got}")]
    Unknown {
        /// Its beginning.
        got: String,
    },
    /// An answer that the offer does not allow.
    #[error("expected an answer to {offer}, got {got}")]
    Answer {
        /// What was offered.
        offer: Setup,
        /// What was answered.
        got: Setup,
    },
    /// Nobody is to begin.
    #[error("expected one side to begin, got holdconn")]
    Held,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 4145 section 4.1, all of it.
    #[test]
    fn an_answer_is_one_that_the_offer_allows() {
        use Setup::{Active, Actpass, Holdconn, Passive};
        let table = [
            (Active, &[Passive, Holdconn][..]),
            (Passive, &[Active, Holdconn]),
            (Actpass, &[Active, Passive, Holdconn]),
            (Holdconn, &[Holdconn]),
        ];
        for (offer, allowed) in table {
            assert_eq!(Setup::ALL.into_iter().filter(|answer| offer.may_be_answered(*answer)).collect::<Vec<_>>(), allowed);
            assert!(allowed.contains(&offer.answer()));
        }
    }

    /// Of any two values there are two different roles or an error, and the side that is active is the client.
    #[test]
    fn one_side_is_the_client() {
        for offer in Setup::ALL {
            for answer in Setup::ALL {
                match role_of(offer, answer) {
                    Ok((offerer, answerer)) => {
                        assert_ne!(offerer, answerer);
                        assert_eq!(answerer == Role::Client, answer == Setup::Active);
                        assert!(offer != Setup::Active || offerer == Role::Client);
                        assert!(offer != Setup::Passive || offerer == Role::Server);
                    }
                    Err(SetupError::Held) => assert_eq!(answer, Setup::Holdconn),
                    Err(error) => assert_eq!(error, SetupError::Answer { offer, got: answer }),
                }
            }
        }
        assert_eq!(role_of(Setup::Actpass, Setup::Actpass.answer()), Ok((Role::Server, Role::Client)));
    }

    #[test]
    fn each_value_reads_as_it_is_written() {
        for setup in Setup::ALL {
            assert_eq!(setup.to_string().parse(), Ok(setup));
            assert_eq!(setup.to_string().to_uppercase().parse(), Ok(setup));
        }
        assert_eq!("act".parse::<Setup>(), Err(SetupError::Unknown { got: "act".into() }));
    }
}
