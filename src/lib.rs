pub mod balance;
pub mod clock;
pub mod config;
pub mod route;
pub mod split;
pub mod upstream;
