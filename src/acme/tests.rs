use super::*;
use crate::certificate::{Certificate, Pair, PrivateKey};

/// A config of these listeners and hosts, whose `shop.pem` is for these names.
fn config(listeners: &str, hosts: &str, own: &[&str]) -> Config {
    let text = format!(
        "{listeners}[[routes]]\nhosts = [{hosts}]\nservice = \"a\"\n[services.a.pools.b]\n\
         upstreams = [\"a:1\"]\n"
    );
    let (mut config, _) = Config::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let names = own.iter().map(ToString::to_string).collect();
    let about = Certificate { names, subject: String::new(), from: 0, until: 1 };
    let pair = Pair { chain: vec![], key: PrivateKey::new(b"k"), about };
    config.certificates.add_pair("shop.pem".as_ref(), "shop.key".as_ref(), pair);
    config
}

fn holders(config: &Config) -> Vec<String> {
    wanted(config).iter().map(|wanted| wanted.holder.to_string()).collect()
}

const ONE: &str = "[[listeners]]\naddress = \":443\"\ntls.acme = { email = \"you@example.com\" }\n";

#[test]
fn certificates_are_ordered_for_the_hosts_of_routes_that_have_none() {
    let hosts =
        "\"Shop.Example.com\", \"*.example.com\", \"pay.example.com\", \"shop.example.com\"";
    assert_eq!(holders(&config(ONE, hosts, &[])), ["pay.example.com", "shop.example.com"]);
    let own = "[[listeners]]\naddress = \":443\"\n[listeners.tls]\nacme = {}\n\
        certificates = [{ certificate = \"shop.pem\", key = \"shop.key\" }]\n";
    let with = |names: &[&str]| holders(&config(own, hosts, names));
    assert_eq!(with(&["shop.example.com"]), ["pay.example.com"]);
    assert_eq!(with(&["*.example.com"]), Vec::<String>::new(), "one with a star covers both");
    assert_eq!(with(&["other.example.com"]).len(), 2);
}

#[test]
fn nobody_outside_is_asked_for_names_that_are_nobodys_outside() {
    let hosts = "\"localhost\", \"shop.test\", \"10.0.0.1\", \"[::1]\", \"a.internal\", \"shop\", \
        \"192.0.1.7\"";
    assert_eq!(holders(&config(ONE, hosts, &[])), ["192.0.1.7"]);
    let ours = "[[listeners]]\naddress = \":443\"\ntls.acme = { ca = \"ours.pem\" }\n";
    let all = ["a.internal", "localhost", "shop", "shop.test", "10.0.0.1, 192.0.1.7, ::1"];
    assert_eq!(holders(&config(ours, hosts, &[])), all, "an authority of one's own is");
    let named =
        "[[listeners]]\naddress = \":443\"\ntls.acme = { names = [\"shop.test\", \"::1\"] }\n";
    assert_eq!(holders(&config(named, hosts, &[])), ["shop.test", "::1"]);
}

#[test]
fn a_second_listener_orders_nothing_twice() {
    let two = format!("{ONE}{}", ONE.replace(":443", ":8443"));
    assert_eq!(holders(&config(&two, "\"a.example.com\"", &[])), ["a.example.com"]);
    let named = |port, names| {
        format!("[[listeners]]\naddress = \":{port}\"\ntls.acme = {{ names = [{names}] }}\n")
    };
    let both = [named(1, "\"1.1.1.1\", \"a.com\""), named(2, "\"a.com\", \"1.0.0.1\"")].concat();
    assert_eq!(holders(&config(&both, "\"x.test\"", &[])), ["a.com", "1.0.0.1, 1.1.1.1"]);
    let other = named(2, "\"a.com\"").replace("{ names", "{ directory = \"https://b/\", names");
    let both = [named(1, "\"a.com\""), other].concat();
    assert_eq!(holders(&config(&both, "\"x.test\"", &[])), ["a.com", "a.com"], "from two");
}

#[test]
fn ports_say_how_an_authority_comes_in() {
    use Challenge::{Http, TlsAlpn};
    let of = |tls: u16, plain: &str, key: &str| {
        let listeners = format!(
            "[[listeners]]\naddress = \":{tls}\"\ntls.acme = {{ {key} }}\n{}",
            match plain {
                "" => String::new(),
                address => format!("[[listeners]]\naddress = \"{address}\"\n"),
            }
        );
        wanted(&config(&listeners, "\"a.example.com\"", &[]))[0].ways.clone()
    };
    assert_eq!(of(443, ":80", ""), [Http, TlsAlpn]);
    assert_eq!(of(443, "", ""), [TlsAlpn]);
    assert_eq!(of(443, ":8080", ""), [TlsAlpn, Http]);
    assert_eq!(of(8443, ":8080", ""), [Http, TlsAlpn]);
    assert_eq!(of(443, ":80", "challenge = \"tls-alpn-01\""), [TlsAlpn]);
    assert_eq!(of(443, "", "challenge = \"http-01\""), [Http]);
}
