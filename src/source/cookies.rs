//! `manage_cookies`: what an upstream set is sent back to it. One small jar
//! for each client; cookies stay with the server that set them.

use std::sync::{Mutex, PoisonError};

use super::address::Address;

/// Cookies in a jar; a new one pushes out the oldest.
const COOKIES_MAX: usize = 50;
/// Name and value together; larger ones are not kept.
const COOKIE_BYTES_MAX: usize = 4096;

#[derive(Debug)]
struct Cookie {
    is_tls: bool,
    authority: String,
    path: String,
    is_secure: bool,
    name: String,
    value: String,
}

/// A jar. Ages other than "gone" are not kept: processes live days, sessions die
/// by the server's word.
#[derive(Debug, Default)]
pub struct CookieJar(Mutex<Vec<Cookie>>);

impl CookieJar {
    /// Keeps what one `Set-Cookie` says.
    pub fn set(&self, from: &Address, set_cookie: &str) {
        let mut parts = set_cookie.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (name, value) = (name.trim(), value.trim());
        let is_sound = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && b != b';' && b != b',');
        if name.is_empty()
            || name.len() + value.len() > COOKIE_BYTES_MAX
            || !is_sound(name)
            || !is_sound(value)
        {
            return;
        }
        let mut cookie = Cookie {
            is_tls: from.is_tls,
            authority: from.authority.to_ascii_lowercase(),
            path: "/".into(),
            is_secure: false,
            name: name.into(),
            value: value.into(),
        };
        let mut is_gone = false;
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "path" if value.starts_with('/') => cookie.path = value.trim().into(),
                "secure" => cookie.is_secure = true,
                "max-age" => is_gone = value.trim().parse::<i64>().is_ok_and(|age_s| age_s <= 0),
                "expires" => {
                    is_gone |= httpdate::parse_http_date(value.trim())
                        .is_ok_and(|at| at <= std::time::SystemTime::now());
                }
                _ => {}
            }
        }
        let mut jar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        jar.retain(|c| (&c.authority, &c.path, &c.name) != (&cookie.authority, &cookie.path, &cookie.name));
        if !is_gone {
            if jar.len() >= COOKIES_MAX {
                jar.remove(0);
            }
            jar.push(cookie);
        }
    }

    /// The `Cookie` field for a request, if there is anything to say.
    pub fn get(&self, to: &Address) -> Option<String> {
        let jar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |c: &&Cookie| {
            let below = to.path.strip_prefix(c.path.as_str());
            c.authority.eq_ignore_ascii_case(&to.authority)
                && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || c.path.ends_with('/'))
                && (to.is_tls || !(c.is_secure || c.is_tls))
        };
        let pairs: Vec<String> = jar.iter().filter(fits).map(|c| format!("{}={}", c.name, c.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::parse(url).unwrap().0
    }

    #[test]
    fn cookies_stay_with_their_server_and_path() {
        let jar = CookieJar::default();
        let home = address("http://h/a/b");
        jar.set(&home, "sid=1; Path=/a; HttpOnly");
        jar.set(&home, "all=2");
        jar.set(&home, "safe=3; Secure");
        assert_eq!(jar.get(&home).unwrap(), "sid=1; all=2");
        assert_eq!(jar.get(&address("http://h/ab")).unwrap(), "all=2");
        assert_eq!(jar.get(&address("https://h/")).unwrap(), "all=2; safe=3");
        assert_eq!(jar.get(&address("http://other/a")), None);
        jar.set(&home, "sid=; Path=/a; Max-Age=0");
        jar.set(&home, "all=9");
        assert_eq!(jar.get(&home).unwrap(), "all=9");
    }

    #[test]
    fn odd_and_many_cookies_are_bounded() {
        let jar = CookieJar::default();
        let home = address("http://h/");
        for text in ["", "=x", "a b=c", "a=b\r\nX: y", &format!("a={}", "x".repeat(5000))] {
            jar.set(&home, text);
        }
        assert_eq!(jar.get(&home), None);
        for i in 0..100 {
            jar.set(&home, &format!("c{i}=1"));
        }
        assert_eq!(jar.get(&home).unwrap().split("; ").count(), COOKIES_MAX);
    }
}
