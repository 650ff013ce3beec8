//! Register tiles: how a workgroup shares out a product of matrices. Not a kernel of its own: `shaders/shared/tiles.wgsl` follows the
//! text of the kernels that make one.

/// Inner elements that a workgroup holds at a time.
pub const DEPTH: u32 = 16;

/// The shape of a workgroup: its invocations, and the parts of 4 x 4 elements that each of them computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    pub threads_x: u32,
    pub threads_y: u32,
    /// Parts beside each other.
    pub across: u32,
    /// Parts below each other.
    pub down: u32,
}

impl Tile {
    /// Square, tall and wide, 64 invocations each.
    const SMALL: [Self; 3] = [Self::of(8, 8, 1), Self::of(4, 16, 1), Self::of(16, 4, 1)];

    /// 64 x 64 elements and 128 invocations, the most that every device has.
    const LARGE: Self = Self::of(16, 8, 2);

    pub const ALL: [Self; 4] = [Self::SMALL[0], Self::SMALL[1], Self::SMALL[2], Self::LARGE];

    const fn of(threads_x: u32, threads_y: u32, down: u32) -> Self {
        // As `shaders/shared/tiles.wgsl` shares out the loads and pairs the invocations.
        let threads = threads_x * threads_y;
        assert!(threads.is_multiple_of(DEPTH) && threads.is_multiple_of(threads_y * down));
        assert!((DEPTH * threads_x).is_multiple_of(threads) && (DEPTH * threads_y * down).is_multiple_of(threads));
        assert!(threads_x.is_multiple_of(2) && threads_y.is_multiple_of(2));
        Self { threads_x, threads_y, across: 1, down }
    }

    const fn threads(&self) -> u32 {
        self.threads_x * self.threads_y
    }

    /// The tile that covers a product with the fewest elements beyond its edges; the large one where the product has at
    /// least four of them and it covers little more. No tile changes a bit of the result.
    pub fn for_shape(rows: u32, columns: u32) -> Self {
        let covered = |tile: &Self| {
            let [x, y, _] = tile.workgroups(rows, columns, 1);
            u64::from(x * tile.columns()) * u64::from(y * tile.rows())
        };
        let small = Self::SMALL.into_iter().min_by_key(covered).expect("there are tiles");
        let large = Self::LARGE;
        let is_large = rows >= 2 * large.rows() && columns >= 2 * large.columns();
        if is_large && 8 * covered(&large) <= 9 * covered(&small) { large } else { small }
    }

    /// Rows of the product that a workgroup computes.
    pub const fn rows(&self) -> u32 {
        4 * self.threads_y * self.down
    }

    /// Columns of the product that a workgroup computes.
    pub const fn columns(&self) -> u32 {
        4 * self.threads_x * self.across
    }

    /// Workgroups that cover a product of `lanes` lanes.
    pub fn workgroups(&self, rows: u32, columns: u32, lanes: u32) -> [u32; 3] {
        [columns.div_ceil(self.columns()), rows.div_ceil(self.rows()), lanes]
    }

    /// The values of its constants in a kernel's variants.
    pub fn variant(&self) -> [(&'static str, f64); 7] {
        [
            ("THREADS_X", f64::from(self.threads_x)),
            ("THREADS_Y", f64::from(self.threads_y)),
            ("ACROSS", f64::from(self.across)),
            ("DOWN", f64::from(self.down)),
            ("PARTS", f64::from(self.across * self.down)),
            ("A_LOADS", f64::from(DEPTH * self.rows() / (4 * self.threads()))),
            ("B_LOADS", f64::from(DEPTH * self.columns() / (4 * self.threads()))),
        ]
    }

    /// Turns of an invocation's loops over `inner` elements.
    pub fn iterations(&self, inner: usize) -> usize {
        inner.div_ceil(DEPTH as usize) * (DEPTH + 1) as usize
    }
}
