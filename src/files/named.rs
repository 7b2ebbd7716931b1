//! The files that a config names: a config in, each with what it is for out.

use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::Rule;
use crate::automation::{self, Then};
use crate::config::{AcmeAuthority, Actions, Config};
use crate::fallback::{Body, StaticAnswer};
use crate::rollout::Hook;

/// What a file is for, and so when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// The state that outlives the process: a folder, opened at the start.
    State,
    /// A key that calls are signed with or testers show, read with the config.
    Secret,
    /// The tokens of the admin API, read with the config.
    Tokens,
    /// What a fallback or an error answers, read with the config: another content is another config.
    Answer,
    /// A certificate with its chain, read with the config.
    Certificate,
    /// Its key.
    PrivateKey,
    /// Certificates of authorities, read with the config.
    Authorities,
    /// Users with their passwords, read with the config.
    Users,
}

/// Calls with each file that a config names, which may be placed elsewhere. The one list of them.
pub fn each_named(config: &mut Config, mut call: impl FnMut(For, &mut PathBuf)) {
    config.admin.token_file.iter_mut().for_each(|file| call(For::Tokens, file));
    config.server.state_dir.iter_mut().for_each(|folder| call(For::State, folder));
    let targets = config.notify.iter_mut().filter_map(|target| target.secret_file.as_mut());
    targets.for_each(|file| call(For::Secret, file));
    let of_listeners = config.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut());
    for tls in of_listeners.chain(&mut config.admin.tls) {
        for files in &mut tls.certificates {
            call(For::Certificate, &mut files.certificate);
            call(For::PrivateKey, &mut files.key);
            files.client.iter_mut().for_each(|client| call(For::Authorities, &mut client.ca));
        }
        tls.client.iter_mut().for_each(|client| call(For::Authorities, &mut client.ca));
        let asks = |acme: &AcmeAuthority| acme.ca.is_some() || acme.external_account.is_some();
        if let Some(acme) = tls.acme.as_mut().filter(|acme| asks(&acme.authority)) {
            let authority = Arc::make_mut(&mut acme.authority);
            authority.ca.iter_mut().for_each(|file| call(For::Authorities, file));
            let account = authority.external_account.iter_mut();
            account.for_each(|account| call(For::Secret, &mut account.key_file));
        }
    }
    let pools = config.services.iter_mut().flat_map(|service| &mut service.pools);
    for tls in pools.filter_map(|pool| pool.tls.as_mut()) {
        tls.ca.iter_mut().for_each(|file| call(For::Authorities, file));
        if let Some((certificate, key)) = &mut tls.own {
            call(For::Certificate, certificate);
            call(For::PrivateKey, key);
        }
    }
    let tied = |actions: &&mut Arc<Actions>| {
        actions.opt_in.as_ref().is_some_and(|opt_in| opt_in.secret_file.is_some())
    };
    for actions in config.route_actions.iter_mut().flatten().filter(tied) {
        let opt_in = Arc::make_mut(actions).opt_in.as_mut();
        opt_in
            .and_then(|opt_in| opt_in.secret_file.as_mut())
            .into_iter()
            .for_each(|file| call(For::Secret, file));
    }
    let by_password =
        |actions: &&mut Arc<Actions>| matches!(actions.auth, Some(Rule::Basic { .. }));
    for actions in config.route_actions.iter_mut().flatten().filter(by_password) {
        if let Some(Rule::Basic { users, .. }) = &mut Arc::make_mut(actions).auth {
            call(For::Users, users);
        }
    }
    let acting = config.route_actions.iter_mut().flatten();
    for actions in acting.filter(|actions| actions.is_filed()) {
        if let Some(StaticAnswer { body: Body::File(file), .. }) =
            &mut Arc::make_mut(actions).answer
        {
            call(For::Answer, file);
        }
    }
    let calls = |rule: &&mut Arc<automation::Rule>| {
        matches!(rule.then, Then::Call(Hook::Webhook { secret_file: Some(_), .. }))
    };
    for rule in config.automation.iter_mut().filter(calls) {
        if let Then::Call(Hook::Webhook { secret_file: Some(file), .. }) =
            &mut Arc::make_mut(rule).then
        {
            call(For::Secret, file);
        }
    }
    for service in &mut config.services {
        let tied = service.opt_in.as_mut().and_then(|opt_in| opt_in.secret_file.as_mut());
        tied.into_iter().for_each(|file| call(For::Secret, file));
        let rollout = Arc::make_mut(&mut service.rollout);
        rollout.hooks.secret_files_mut().for_each(|file| call(For::Secret, file));
        let answers = service.stability.fallback.answer.as_ref();
        if answers.is_some_and(|answer| matches!(answer.body, Body::File(_)))
            && let Some(answer) = &mut Arc::make_mut(&mut service.stability).fallback.answer
            && let Body::File(file) = &mut answer.body
        {
            call(For::Answer, file);
        }
        if !service.stability.error_pages.is_empty() {
            let pages = &mut Arc::make_mut(&mut service.stability).error_pages;
            pages.files_mut().for_each(|file| call(For::Answer, file));
        }
    }
}
