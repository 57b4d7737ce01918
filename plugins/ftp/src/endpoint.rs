//! Where data connections go: the arguments of EPSV, PASV, EPRT and PORT.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

/// The port in the reply to EPSV: `229 ... (|||6446|)`, with any delimiter (RFC 2428
/// section 3).
pub(crate) fn extended_passive(text: &str) -> Option<u16> {
    let inside = text.rsplit_once('(')?.1.split_once(')')?.0;
    let delimiter = inside.chars().next().filter(|c| !c.is_ascii_digit())?;
    let mut fields = inside.split(delimiter).skip(1);
    let port = fields.nth(2)?.parse().ok()?;
    (port != 0).then_some(port)
}

/// The address in the reply to PASV: `227 ... (h1,h2,h3,h4,p1,p2)`. Some servers leave out
/// the brackets, so the digits are what counts (RFC 1123 section 4.1.2.6).
pub(crate) fn passive(text: &str) -> Option<SocketAddrV4> {
    let start = text.find('(').map_or(0, |at| at + 1);
    let start = start + text[start..].find(|c: char| c.is_ascii_digit())?;
    let digits = text[start..].split(|c: char| !c.is_ascii_digit() && c != ',').next()?;
    let mut numbers = digits.split(',').map(|number| number.parse::<u8>().ok());
    let mut next = || numbers.next().flatten();
    let host = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    let port = u16::from_be_bytes([next()?, next()?]);
    (port != 0).then_some(SocketAddrV4::new(host, port))
}

/// The command that tells the partner where we listen: PORT (RFC 959 section 4.1.2), or EPRT
/// for an IPv6 address (RFC 2428 section 2).
pub(crate) fn active(address: SocketAddr) -> String {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let ([a, b, c, d], [high, low]) = (ip.octets(), address.port().to_be_bytes());
            format!("PORT {a},{b},{c},{d},{high},{low}")
        }
        IpAddr::V6(ip) => format!("EPRT |2|{ip}|{}|", address.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_extended_passive_replies() {
        assert_eq!(extended_passive("Entering Extended Passive Mode (|||6446|)"), Some(6446));
        assert_eq!(extended_passive("Entering (EPSV) mode (!!!65535!)."), Some(65535));
        for bad in ["", "(|||0|)", "(|||70000|)", "(||6446|)", "(6446)", "|||6446|"] {
            assert_eq!(extended_passive(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_of_passive_replies() {
        let address = Some("10.1.2.3:256".parse().unwrap());
        assert_eq!(passive("Entering Passive Mode (10,1,2,3,1,0)."), address);
        assert_eq!(passive("=10,1,2,3,1,0"), address);
        for bad in ["", "(1,2,3,4,5)", "(1,2,3,4,0,0)", "(1,2,3,400,5,6)"] {
            assert_eq!(passive(bad), None, "{bad}");
        }
    }

    #[test]
    fn commands_of_active_mode() {
        assert_eq!(active("10.1.2.3:256".parse().unwrap()), "PORT 10,1,2,3,1,0");
        assert_eq!(active("[::1]:256".parse().unwrap()), "EPRT |2|::1|256|");
    }
}
