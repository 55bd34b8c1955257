//! Addresses and networks as an operator lists them: whom to believe.
//!
//! Text in, yes or no out; names are not looked up.

use std::net::IpAddr;

/// One address, or all that share its first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// A list of networks; `unix` in it stands for peers on Unix sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    list: Vec<Network>,
    unix: bool,
}

/// What cannot be a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither an address (10.0.0.1), nor a network (10.0.0.0/8, fd00::/8), nor `unix`")]
pub struct BadNetwork(String);

impl Networks {
    /// Adds an address, a network or `unix`.
    ///
    /// # Errors
    /// The text is none of them, or bits are set behind the network's prefix
    /// (10.0.0.1/8: was the address meant, or the network?).
    pub fn add(&mut self, text: &str) -> Result<(), BadNetwork> {
        if text == "unix" {
            self.unix = true;
            return Ok(());
        }
        self.list.push(Network::parse(text).ok_or_else(|| BadNetwork(text.to_owned()))?);
        Ok(())
    }

    /// Whether the peer is listed; `None` is one on a Unix socket.
    pub fn holds(&self, peer: Option<IpAddr>) -> bool {
        let Some(peer) = peer.map(|peer| peer.to_canonical()) else { return self.unix };
        self.list.iter().any(|network| network.holds(peer))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None => bits_max,
        };
        if prefix_bits > bits_max {
            return None;
        }
        let network = Network { address, prefix_bits };
        (network.first_bits(address) == bits(address)).then_some(network)
    }

    fn holds(&self, peer: IpAddr) -> bool {
        peer.is_ipv4() == self.address.is_ipv4() && self.first_bits(peer) == bits(self.address)
    }

    /// The address with all bits behind the prefix cleared.
    fn first_bits(&self, address: IpAddr) -> u128 {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let cleared = width - u32::from(self.prefix_bits);
        let mask = u128::MAX.checked_shl(cleared).unwrap_or(0);
        bits(address) & mask
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn networks(list: &[&str]) -> Networks {
        let mut networks = Networks::default();
        for text in list {
            networks.add(text).unwrap();
        }
        networks
    }

    #[test]
    fn peers_are_found_by_their_first_bits() {
        let list = networks(&["127.0.0.1", "10.0.0.0/8", "192.168.4.0/22", "fd00::/8", "::1"]);
        for (peer, held) in [
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("10.255.0.1", true),
            ("11.0.0.0", false),
            ("192.168.7.255", true),
            ("192.168.8.0", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("::1", true),
            ("::ffff:10.1.2.3", true),
            ("::10.1.2.3", false),
        ] {
            assert_eq!(list.holds(Some(peer.parse().unwrap())), held, "{peer}");
        }
        assert!(!list.holds(None) && networks(&["unix"]).holds(None));
        assert!(networks(&["0.0.0.0/0"]).holds(Some("9.9.9.9".parse().unwrap())));
        assert!(!networks(&["0.0.0.0/0"]).holds(Some("9::9".parse().unwrap())));
        assert!(networks(&["::/0"]).holds(Some("9::9".parse().unwrap())));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0.1/8", "a.example", "10.0.0.0/", "10.0.0.0/+8", "*"]
        {
            assert_eq!(Networks::default().add(text), Err(BadNetwork(text.into())));
        }
    }

    proptest! {
        #[test]
        fn an_address_holds_itself_and_nothing_panics(a in any::<u32>(), b in any::<u128>(), text in "\\PC*") {
            for address in [IpAddr::V4(a.into()), IpAddr::V6(b.into())] {
                let list = networks(&[&address.to_string()]);
                prop_assert!(list.holds(Some(address)) || address != address.to_canonical());
            }
            let _ = Networks::default().add(&text);
        }
    }
}
