//! The memory that one large image costs on its way into the index: it alone is in this process, with a counting allocator.
#![allow(clippy::unwrap_used, missing_docs)]
#![expect(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{Rgba, RgbaImage};
use magiclens_data::decode::Limits;
use magiclens_index::{Index, ModelStamp, load_in_batches};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: everything is handed to the system's allocator; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Large blocks grow and shrink where they are, or are moved by the system without a copy.
        add(size.saturating_sub(layout.size()));
        NOW.fetch_sub(layout.size().saturating_sub(size), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SIDE: u32 = 9000;

#[test]
fn a_large_image_costs_less_than_500_mb() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("pictures");
    fs_err::create_dir(&folder).unwrap();
    let pixel = |x, y| Rgba([x as u8, y as u8, 7, (x / 64) as u8]);
    RgbaImage::from_fn(SIDE, SIDE, pixel)
        .save(folder.join("large.png"))
        .unwrap();
    let model = ModelStamp {
        name: String::new(),
        model_id: "m".to_owned(),
        dim: 8,
    };
    let index = Index::create_or_open(&temp.path().join("index"), &model).unwrap();
    let limits = Limits::default();
    let plan = index.scan(&[folder], &limits, |_, _| ()).unwrap();
    assert_eq!(plan.pending[0].pixels, u64::from(SIDE).pow(2));
    PEAK.store(NOW.load(Ordering::Relaxed), Ordering::Relaxed);
    let mut delivered = 0;
    load_in_batches(&plan.pending, &limits, 32, |batch| {
        delivered += batch.loaded.len();
        assert_eq!(batch.loaded[0].rgb.dimensions(), (SIDE, SIDE));
        ControlFlow::Continue(())
    });
    let peak = PEAK.load(Ordering::Relaxed) / 1_000_000;
    assert_eq!(delivered, 1);
    assert!(peak < 500, "{peak} MB");
}
