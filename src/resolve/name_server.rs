//! A name server for tests: a zone in, real answers over UDP out, and a count of who was asked for.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Answers for its zone until it is dropped.
pub(super) struct NameServer {
    /// Where it listens.
    pub address: SocketAddr,
    zone: Arc<Mutex<HashMap<(String, RecordType), Reply>>>,
    asked: watch::Receiver<HashMap<(String, RecordType), u32>>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
enum Reply {
    /// Answers, and records that come along.
    Records(Vec<Record>, Vec<Record>),
    Silence,
}

impl NameServer {
    pub async fn start() -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::default();
        let (counts, asked) = watch::channel(HashMap::new());
        let task = tokio::spawn(serve(socket, Arc::clone(&zone), counts));
        NameServer { address, zone, asked, task }
    }

    /// This name has these addresses, for so many seconds.
    pub fn host(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let ips: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        for (kind, is_v4) in [(RecordType::A, true), (RecordType::AAAA, false)] {
            let ips = ips.iter().filter(|ip| ip.is_ipv4() == is_v4);
            let records = ips.map(|&ip| record(name, ttl, ip.into())).collect();
            self.set(name, kind, Reply::Records(records, Vec::new()));
        }
    }

    /// This name has these SRV records: priority, weight, port and target of each; the addresses
    /// come along.
    pub fn service(
        &self,
        name: &str,
        ttl: u32,
        records: &[(u16, u16, u16, &str)],
        additional: &[(&str, &str)],
    ) {
        let records = records.iter().map(|&(priority, weight, port, target)| {
            let srv = SRV::new(priority, weight, port, full(target));
            record(name, ttl, RData::SRV(srv))
        });
        let along = additional.iter().map(|(name, ip)| {
            let ip: IpAddr = ip.parse().unwrap();
            record(name, ttl, ip.into())
        });
        self.set(name, RecordType::SRV, Reply::Records(records.collect(), along.collect()));
    }

    /// There is no such name any more.
    pub fn forget(&self, name: &str) {
        lock(&self.zone).retain(|(known, _), _| known != name);
    }

    /// Questions of this kind for this name are not answered any more.
    pub fn ignore(&self, name: &str, kind: RecordType) {
        self.set(name, kind, Reply::Silence);
    }

    /// Returns once the name has been asked for so many times more.
    pub async fn asked_again(&self, name: &str, kind: RecordType, times: u32) {
        let key = (name.to_string(), kind);
        let mut asked = self.asked.clone();
        let before = asked.borrow_and_update().get(&key).copied().unwrap_or(0);
        let enough = |counts: &HashMap<_, u32>| counts.get(&key) >= Some(&(before + times));
        asked.wait_for(enough).await.unwrap();
    }

    fn set(&self, name: &str, kind: RecordType, reply: Reply) {
        lock(&self.zone).insert((name.to_string(), kind), reply);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Zone = Mutex<HashMap<(String, RecordType), Reply>>;

fn lock(zone: &Zone) -> MutexGuard<'_, HashMap<(String, RecordType), Reply>> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    socket: UdpSocket,
    zone: Arc<Zone>,
    asked: watch::Sender<HashMap<(String, RecordType), u32>>,
) {
    let mut packet = [0; 4_096];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut packet).await else { continue };
        let query = Message::from_vec(&packet[..length]).unwrap();
        let question = query.queries[0].clone();
        let name = question.name().to_ascii().trim_end_matches('.').to_string();
        let kind = question.query_type();
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.add_query(question);
        let reply = lock(&zone).get(&(name.clone(), kind)).cloned();
        let is_known = lock(&zone).keys().any(|(known, _)| *known == name);
        match &reply {
            Some(Reply::Records(records, additional)) => {
                answer.add_answers(records.clone());
                answer.add_additionals(additional.clone());
            }
            None if !is_known => answer.metadata.response_code = ResponseCode::NXDomain,
            None | Some(Reply::Silence) => {}
        }
        if !matches!(reply, Some(Reply::Silence)) {
            socket.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
        }
        asked.send_modify(|counts| *counts.entry((name, kind)).or_default() += 1);
    }
}

fn full(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    name
}

fn record(name: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(full(name), ttl, data)
}
