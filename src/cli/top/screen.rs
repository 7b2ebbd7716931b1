//! The terminal: taken over for a screen, and given back however that ends.

use std::io::{self, Stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

/// Whether the terminal is ours now.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal that is ours until this is dropped.
pub struct Screen {
    /// What is drawn on.
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes it.
    ///
    /// # Errors
    ///
    /// Those of the terminal.
    pub fn take() -> io::Result<Screen> {
        give_back_at_panics();
        IS_TAKEN.store(true, Ordering::Relaxed);
        let taken = enable_raw_mode().and_then(|()| {
            execute!(io::stdout(), EnterAlternateScreen)?;
            Terminal::new(CrosstermBackend::new(io::stdout()))
        });
        if taken.is_err() {
            give_back();
        }
        Ok(Screen { terminal: taken? })
    }

    /// Whether a panic somewhere has given it back.
    pub fn is_lost(&self) -> bool {
        !IS_TAKEN.load(Ordering::Relaxed)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// As it was, once.
fn give_back() {
    if IS_TAKEN.swap(false, Ordering::Relaxed) {
        // Nobody is left to be told if this fails.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// What a panic says is to be read on a terminal that is as it was.
fn give_back_at_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_says_why() {
        static WAS_OURS: AtomicBool = AtomicBool::new(true);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {
            WAS_OURS.store(IS_TAKEN.load(Ordering::Relaxed), Ordering::Relaxed);
        }));
        give_back_at_panics();
        IS_TAKEN.store(true, Ordering::Relaxed);
        let panicked = std::thread::spawn(|| panic!("something is wrong")).join();
        std::panic::set_hook(before);
        assert!(panicked.is_err());
        assert!(!WAS_OURS.load(Ordering::Relaxed));
        assert!(!IS_TAKEN.load(Ordering::Relaxed));
    }
}
