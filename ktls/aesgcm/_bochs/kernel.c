/* The kernel: reads the program and the cases that emulator_amd64_test.go wrote from the disk, runs the cases, and
   prints a line for each thing that is wrong with one. */
typedef unsigned char u8;
typedef unsigned long u64;

/* A case. n bytes of data go to src; n more are what dst must be afterwards. Nothing of it can be written to. */
struct test {
	u64 size;			/* the next one begins so many bytes further */
	u64 routine, args[8];
	u8 *src, *dst;			/* the arguments by that name */
	u64 n;
	u8 state[32], want_state[32];	/* hash and ctr */
	u8 data[];
};

struct tests {
	u64 count;
	struct test first;
};

/* Sector 0 of the disk: what the sectors behind it are. */
struct disk {
	struct { u64 to, sectors; } pieces[2];
};

enum { SECTOR = 512, PAGE = 1 << 21, AROUND = 256, CANARY = 0xa5 };

static const struct tests *const tests = (struct tests *)0x4000000;
static u8 *const state = (u8 *)0xd000000;
static u64 running;
static u8 vectors[16][64];

void write_protect(void);
void call_abi0(u64 routine, const u64 args[8], u8 vectors[16][64]);

static void out(u8 c, unsigned short port) { __asm__ volatile("outb %0, %1" ::"a"(c), "Nd"(port)); }

static u8 in(unsigned short port)
{
	u8 c;
	__asm__ volatile("inb %1, %0" : "=a"(c) : "Nd"(port));
	return c;
}

static void put(char c) { out(c, 0xe9); }

static void print(const char *s)
{
	while (*s)
		put(*s++);
}

static void number(u64 n, u64 base)
{
	if (n >= base)
		number(n / base, base);
	put("0123456789abcdef"[n % base]);
}

static void failed(const char *what)
{
	print("fail ");
	number(running, 10);
	put(' ');
	print(what);
	put('\n');
}

/* An exception is the end: frame is its number, error code and address. */
void fault(const u64 *frame, u64 cr2)
{
	failed("exception");
	for (int i = 0; i < 3; i++, put(' '))
		number(frame[i], 16);
	number(cr2, 16);
	put('\n');
}

static void fill(u8 *p, u8 c, u64 n)
{
	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
}

static void copy(u8 *to, const u8 *from, u64 n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
}

static int differ(const u8 *a, const u8 *b, u64 n)
{
	for (u64 i = 0; i < n; i++)
		if (a[i] != b[i])
			return 1;
	return 0;
}

static int other(const u8 *p, u8 c, u64 n)
{
	for (u64 i = 0; i < n; i++)
		if (p[i] != c)
			return 1;
	return 0;
}

/* One sector by ATA's READ SECTORS with a 28-bit address. */
static void read_sector(u64 lba, u8 *to)
{
	u64 words = SECTOR / 2;
	out(1, 0x1f2);
	out(lba, 0x1f3);
	out(lba >> 8, 0x1f4);
	out(lba >> 16, 0x1f5);
	out(0xe0 | lba >> 24, 0x1f6);
	out(0x20, 0x1f7);
	while ((in(0x1f7) & 0x88) != 8) /* BSY, DRQ */
		;
	__asm__ volatile("rep insw" : "+D"(to), "+c"(words) : "d"(0x1f0) : "memory");
}

static void load(void)
{
	static union { struct disk disk; u8 bytes[SECTOR]; } first;
	u64 lba = 0;
	read_sector(lba++, first.bytes);
	for (int i = 0; i < 2; i++)
		for (u64 n = 0; n < first.disk.pieces[i].sectors; n++)
			read_sector(lba++, (u8 *)first.disk.pieces[i].to + n * SECTOR);
}

/* What surrounds the n bytes at p, AROUND bytes on either side or to the ends of the page, begins and ends here. */
static u8 *low(u8 *p)
{
	u8 *page = (u8 *)((u64)p & -PAGE);
	return p - page < AROUND ? page : p - AROUND;
}

static u8 *high(u8 *p, u64 n)
{
	u8 *end = (u8 *)((u64)p & -PAGE) + PAGE;
	return end - (p + n) < AROUND ? end : p + n + AROUND;
}

static void surround(u8 *p, u64 n) { fill(low(p), CANARY, high(p, n) - low(p)); }

static int spilt(u8 *p, u64 n)
{
	return other(low(p), CANARY, p - low(p)) || other(p + n, CANARY, high(p, n) - (p + n));
}

static void run(const struct test *t)
{
	surround(t->src, t->n);
	surround(t->dst, t->n);
	surround(state, 32);
	copy(t->src, t->data, t->n);
	copy(state, t->state, 32);
	call_abi0(t->routine, t->args, vectors);
	if (differ(t->dst, t->data + t->n, t->n))
		failed("bytes");
	if (differ(state, t->want_state, 16))
		failed("hash");
	if (differ(state + 16, t->want_state + 16, 16))
		failed("ctr");
	if (spilt(t->dst, t->n) || spilt(t->src, t->n) || spilt(state, 32))
		failed("surroundings");
	if (t->src != t->dst && differ(t->src, t->data, t->n))
		failed("src");
	for (int i = 0; i < 16; i++)
		if (other(vectors[i] + 16, 0, 48))
			return failed("VZEROUPPER");
}

void kernel(void)
{
	const struct test *t = &tests->first;
	load();
	write_protect();
	for (; running < tests->count; running++) {
		run(t);
		t = (const struct test *)((const u8 *)t + t->size);
	}
	print("done ");
	number(running, 10);
	put('\n');
}
