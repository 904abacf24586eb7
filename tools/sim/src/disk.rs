// SPDX-License-Identifier: GPL-2.0

//! A disk with a volatile cache that logs what is done to it, in the order in which it completes.

use crate::image::{Image, BLOCK, PER_BLOCK, SECTOR};
use kernel::prelude::{Result, EINVAL, EIO};
use permfs_core::device::{BlockDevice, Flushes, WriteFlags};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};

/// What kind of disk it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Completed writes may be lost until a flush.
    pub cache: bool,
    /// It takes FUA.
    pub fua: bool,
    /// Bytes that are written as a whole.
    pub sector_size: usize,
}

impl Caps {
    /// Those that are simulated, the commonest first.
    pub const ALL: [Caps; 5] = [
        Caps {
            cache: true,
            fua: false,
            sector_size: 512,
        },
        Caps {
            cache: true,
            fua: true,
            sector_size: 512,
        },
        Caps {
            cache: false,
            fua: false,
            sector_size: 512,
        },
        Caps {
            cache: true,
            fua: true,
            sector_size: 4096,
        },
        Caps {
            cache: true,
            fua: false,
            sector_size: 4096,
        },
    ];
}

/// How a disk lies: with each of these the simulator must find failures, or it finds none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It does not.
    None,
    /// A flush is reported done, and nothing was.
    Flush,
    /// FUA is taken, and the write stays in the cache.
    Fua,
}

/// A write, as it was submitted.
#[derive(Clone)]
pub struct Write {
    /// First sector, of 512 bytes.
    pub sector: u64,
    /// What was written.
    pub data: Rc<[u8]>,
}

/// What happened at the disk.
#[derive(Clone)]
pub enum Event {
    /// Writes under way together; no other begins before all are done.
    Writes {
        /// The writes.
        writes: Vec<Write>,
        /// They are durable when they are done.
        durable: bool,
    },
    /// Everything that was done before is durable.
    Flush,
    /// A flush failed, and the disk has dropped what it was to make durable. A later one says nothing of that.
    FailedFlush,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (writes, durable) = match self {
            Event::Writes { writes, durable } => (writes, durable),
            Event::Flush => return f.write_str("flush"),
            Event::FailedFlush => return f.write_str("failed flush"),
        };
        f.write_str(if *durable { "durable write" } else { "write" })?;
        for w in writes {
            let (block, sectors) = (w.sector / PER_BLOCK, w.data.len() / SECTOR);
            write!(f, " {block}.{}+{sectors}", w.sector % PER_BLOCK)?;
        }
        Ok(())
    }
}

struct Inner {
    caps: Caps,
    lie: Lie,
    image: RefCell<Image>,
    log: RefCell<Vec<Event>>,
    /// Commands that still succeed before one fails.
    trouble: Cell<Option<u64>>,
    /// A flush has failed.
    lossy: Cell<bool>,
    /// Whoever asks later is not told of that.
    forgetful: Cell<bool>,
    flushes: Flushes,
    /// Writes that were begun and have not completed: they do so during the next flush, or when they are waited for.
    late: RefCell<Vec<Late>>,
    /// What a task does that waits for the disk, once it is on.
    waiting: RefCell<Option<Task>>,
}

/// What somebody else does meanwhile.
type Task = Box<dyn FnOnce(&SimDisk)>;

/// A write that is under way, and where the log is to say that it completed.
struct Late {
    write: Write,
    event: Rc<Cell<usize>>,
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Rc<Inner>);

impl SimDisk {
    /// A disk that holds `image`.
    pub fn new(image: Image, caps: Caps, lie: Lie) -> Self {
        Self(Rc::new(Inner {
            caps,
            lie,
            image: RefCell::new(image),
            log: RefCell::new(Vec::new()),
            trouble: Cell::new(None),
            lossy: Cell::new(false),
            forgetful: Cell::new(false),
            flushes: Flushes::new(),
            late: RefCell::new(Vec::new()),
            waiting: RefCell::new(None),
        }))
    }

    /// What kind of disk it is.
    pub fn caps(&self) -> Caps {
        self.0.caps
    }

    /// How it lies.
    pub fn lie(&self) -> Lie {
        self.0.lie
    }

    /// What reads give now.
    pub fn image(&self) -> Image {
        self.0.image.borrow().clone()
    }

    /// Events so far.
    pub fn events(&self) -> usize {
        self.0.log.borrow().len()
    }

    /// Takes the log out.
    pub fn take_log(&self) -> Vec<Event> {
        self.0.log.take()
    }

    /// After `commands` more writes and flushes one fails; `None`: none does.
    pub fn fail_after(&self, commands: Option<u64>) {
        self.0.trouble.set(commands);
    }

    /// Whether a flush has failed: what it held is gone.
    pub fn has_failed_flush(&self) -> bool {
        self.0.lossy.get()
    }

    /// Whether a failed flush is none of the business of who asks next.
    pub fn forget_failed_flushes(&self, forget: bool) {
        self.0.forgetful.set(forget);
    }

    /// A write that nobody counts for the next flush.
    pub fn write_unnoticed(&self, sector: u64, buf: &[u8]) -> Result {
        let data = buf.into();
        self.submit(vec![Write { sector, data }], false).map(drop)
    }

    /// Begins a write that completes later: `event` is its place in the log from then on.
    pub fn write_late(&self, sector: u64, buf: &[u8], event: Rc<Cell<usize>>) {
        let data = buf.into();
        let write = Write { sector, data };
        self.0.late.borrow_mut().push(Late { write, event });
    }

    /// Waits for the writes that were begun.
    pub fn finish_late(&self) -> Result {
        for late in self.0.late.take() {
            late.event.set(self.events());
            if !self.perform(vec![late.write], false)? {
                self.0.flushes.wrote();
            }
        }
        Ok(())
    }

    /// Another task waits for the disk. It is on when time goes by for somebody who reads, or when it is
    /// [let](Self::let_on).
    pub fn wait_with(&self, task: impl FnOnce(&SimDisk) + 'static) {
        let before = self.0.waiting.replace(Some(Box::new(task)));
        assert!(before.is_none(), "one task at a time waits");
    }

    /// Lets the task on that waits, if there is one.
    pub fn let_on(&self) {
        let task = self.0.waiting.take();
        if let Some(task) = task {
            task(self);
        }
    }

    /// Whether this command fails.
    fn fails(&self) -> bool {
        match self.0.trouble.get() {
            Some(0) => {
                self.0.trouble.set(None);
                true
            }
            left => {
                self.0.trouble.set(left.map(|n| n - 1));
                false
            }
        }
    }

    fn event(&self, event: Event) {
        self.0.log.borrow_mut().push(event);
    }

    /// A write that fails may have been done all the same. Returns whether it is durable.
    fn submit(&self, writes: Vec<Write>, fua: bool) -> Result<bool> {
        let fails = self.fails();
        if fails && self.events() % 2 == 0 {
            return Err(EIO);
        }
        let durable = self.perform(writes, fua && !fails)?;
        if fails {
            return Err(EIO);
        }
        Ok(durable)
    }

    /// Does the writes, and returns whether they are durable.
    fn perform(&self, writes: Vec<Write>, fua: bool) -> Result<bool> {
        let mut image = self.0.image.borrow_mut();
        for w in &writes {
            let end = w.sector + (w.data.len() / SECTOR) as u64;
            if w.data.len() % self.0.caps.sector_size != 0 || end > image.sectors() {
                return Err(EINVAL);
            }
            image.write(w.sector, &w.data);
        }
        drop(image);
        let caps = self.0.caps;
        let durable = !caps.cache || fua && caps.fua;
        self.event(Event::Writes { writes, durable });
        Ok(durable)
    }

    /// The same, counted.
    fn submit_counted(&self, writes: Vec<Write>, fua: bool) -> Result {
        let durable = self.submit(writes, fua)?;
        if !durable {
            self.0.flushes.wrote();
        }
        if fua && !durable {
            return self.flush();
        }
        Ok(())
    }
}

impl BlockDevice for SimDisk {
    fn sectors(&self) -> u64 {
        self.0.image.borrow().sectors()
    }

    fn sector_size(&self) -> usize {
        self.0.caps.sector_size
    }

    fn has_write_cache(&self) -> bool {
        self.0.caps.cache
    }

    fn has_fua(&self) -> bool {
        self.0.caps.fua
    }

    fn read_only(&self) -> bool {
        false
    }

    fn read(&self, sector: u64, buf: &mut [u8]) -> Result {
        self.let_on();
        if self.0.image.borrow().read(sector, buf) {
            Ok(())
        } else {
            Err(EIO)
        }
    }

    fn write(&self, sector: u64, buf: &[u8], flags: WriteFlags) -> Result {
        if flags.preflush {
            self.flush()?;
        }
        let data = buf.into();
        self.submit_counted(vec![Write { sector, data }], flags.fua)
    }

    fn write_blocks(&self, batch: &[(u64, &[u8])]) -> Result {
        if batch.iter().any(|(_, bytes)| bytes.len() != BLOCK) {
            return Err(EINVAL);
        }
        let writes = batch.iter().map(|&(block, bytes)| Write {
            sector: block * PER_BLOCK,
            data: bytes.into(),
        });
        self.submit_counted(writes.collect(), false)
    }

    fn needs_flush(&self) -> bool {
        self.0.caps.cache && self.0.flushes.pending()
    }

    fn flush(&self) -> Result {
        let flush = || {
            if self.fails() {
                self.0.lossy.set(self.0.caps.cache);
                self.event(Event::FailedFlush);
                return Err(EIO);
            }
            self.event(Event::Flush);
            // The flush had begun before these completed.
            self.finish_late()
        };
        if !self.0.forgetful.get() {
            return self.0.flushes.flush(flush);
        }
        flush()?;
        self.0.flushes.flush(|| Ok(()))
    }

    /// What was discarded reads as anything: here, as what nobody wrote.
    fn discard(&self, block: u64, count: u64) -> Result {
        let data: Rc<[u8]> = [0xd5; BLOCK].into();
        let writes = (block..block + count).map(|block| Write {
            sector: block * PER_BLOCK,
            data: data.clone(),
        });
        self.submit_counted(writes.collect(), false)
    }
}
