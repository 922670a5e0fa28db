/* fibers.cpp: runs the threads of a block as fibers.
 *
 * A thread that ends without waiting never needs a stack of its own: the next one begins on the
 * same stack. Only a thread that waits at a barrier keeps it. */
#include "cuda_emulator.h"

#include <sys/mman.h>
#include <vector>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
char *luc_emulated_shared;

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace
{

constexpr size_t stack_size = 256 << 10;
constexpr unsigned max_threads = 1024;

enum state { fresh, running, at_block, at_warp, done };

struct fiber {
    void *sp;
    char *stack;
    uint3 index;
    state st;
    unsigned mask;       /* at_warp */
    unsigned generation; /* of the barrier it waits at */
#if !defined(__x86_64__)
    ucontext_t context;
#endif
};

struct warp {
    uint64_t slots[32];
    unsigned arrived, generation;
};

std::vector<fiber> fibers;
warp warps[max_threads / 32];
unsigned n_threads, alive, at_barrier, block_generation, current;
std::vector<char *> free_stacks;
const std::function<void()> *body;
const char *kernel_name;
void *main_sp;

char *take_stack()
{
    if (!free_stacks.empty()) {
        char *s = free_stacks.back();
        free_stacks.pop_back();
        return s;
    }
    void *s = mmap(nullptr, stack_size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s == MAP_FAILED) {
        fprintf(stderr, "emulator: no memory for a stack\n");
        abort();
    }
    mprotect(s, 4096, PROT_NONE); /* an overflow faults */
    return static_cast<char *>(s);
}

} // namespace

#if defined(__x86_64__)
/* Saves what the ABI says a call preserves, changes stacks and takes up the other side. */
extern "C" void luc_emulated_switch(void **from, void *to);
asm(R"(
.text
.globl luc_emulated_switch
.hidden luc_emulated_switch
.type luc_emulated_switch,@function
luc_emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size luc_emulated_switch,.-luc_emulated_switch
)");

static void to_main(fiber *f)
{
    luc_emulated_switch(&f->sp, main_sp);
}
static void to_fiber(fiber *f)
{
    luc_emulated_switch(&main_sp, f->sp);
}
static void thread_main(void);
static void prepare(fiber *f)
{
    void **top = reinterpret_cast<void **>(f->stack + stack_size);
    *--top = nullptr; /* keeps the stack aligned at the entry as after a call */
    *--top = reinterpret_cast<void *>(thread_main);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    f->sp = top;
}
#else
static ucontext_t main_context;
static void to_main(fiber *f)
{
    swapcontext(&f->context, &main_context);
}
static void to_fiber(fiber *f)
{
    swapcontext(&main_context, &f->context);
}
static void thread_main(void);
static void prepare(fiber *f)
{
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = stack_size;
    f->context.uc_link = nullptr;
    makecontext(&f->context, thread_main, 0);
}
#endif

static void release_block_barrier()
{
    if (alive && at_barrier == alive) {
        at_barrier = 0;
        block_generation++;
    }
}

static void thread_main(void)
{
    for (;;) {
        (*body)();
        fiber *f = &fibers[current];
        f->st = done;
        alive--;
        release_block_barrier();
        to_main(f); /* comes back as the next thread that begins on this stack */
    }
}

static void wait_here(state st)
{
    fiber *f = &fibers[current];
    f->st = st;
    to_main(f);
    f->st = running;
}

void luc_emulated_block_barrier(void)
{
    fiber *f = &fibers[current];
    f->generation = block_generation;
    at_barrier++;
    release_block_barrier();
    if (f->generation == block_generation) wait_here(at_block);
}

void luc_emulated_warp_barrier(unsigned mask)
{
    fiber *f = &fibers[current];
    warp *w = &warps[current / 32];
    unsigned lane = current % 32;
    if (!(mask >> lane & 1)) {
        fprintf(stderr, "emulator: %s: lane %u is not in its own mask %08x\n", kernel_name, lane,
                mask);
        abort();
    }
    unsigned last = n_threads - current / 32 * 32;
    if (last < 32) mask &= (1u << last) - 1; /* a warp that is not full */
    f->mask = mask;
    f->generation = w->generation;
    w->arrived |= 1u << lane;
    if ((w->arrived & mask) == mask) {
        w->arrived &= ~mask;
        w->generation++;
        return;
    }
    wait_here(at_warp);
}

const uint64_t *luc_emulated_warp_exchange(unsigned mask, uint64_t value)
{
    warp *w = &warps[current / 32];
    w->slots[current % 32] = value;
    luc_emulated_warp_barrier(mask);
    return w->slots;
}

static bool can_go_on(const fiber *f)
{
    if (f->st == at_block) return f->generation != block_generation;
    if (f->st == at_warp) return f->generation != warps[(f - fibers.data()) / 32].generation;
    return f->st == fresh;
}

static void resume(unsigned i)
{
    fiber *f = &fibers[i];
    if (f->st == fresh) {
        f->stack = take_stack();
        prepare(f);
        f->st = running;
    }
    current = i;
    threadIdx = f->index;
    to_fiber(f);
    if (f->st == done && f->stack) {
        free_stacks.push_back(f->stack);
        f->stack = nullptr;
    }
}

/* The order in which threads get their turns: see LUC_EMULATOR_ORDER. */
static unsigned turn(unsigned k, unsigned n)
{
    static const char *order = getenv("LUC_EMULATOR_ORDER");
    if (!order || *order == 'f') return k;
    if (*order == 'r') return n - 1 - k;
    unsigned step = n > 7 ? 7 : 1; /* shuffle: a walk that visits all */
    while (n % step == 0 && step > 1) step -= 2;
    return (unsigned)(((uint64_t)k * step + n / 3) % n);
}

static void run_block()
{
    alive = n_threads;
    at_barrier = 0;
    memset(warps, 0, sizeof warps);
    for (unsigned i = 0; i < n_threads; i++) {
        fibers[i].st = fresh;
        fibers[i].index = {i % blockDim.x, i / blockDim.x % blockDim.y,
                           i / (blockDim.x * blockDim.y)};
    }
    while (alive) {
        bool progress = false;
        for (unsigned k = 0; k < n_threads; k++) {
            unsigned i = turn(k, n_threads);
            if (!can_go_on(&fibers[i])) continue;
            resume(i);
            progress = true;
        }
        if (!progress) {
            fprintf(stderr,
                    "emulator: %s: block (%u,%u,%u): threads wait for others that never "
                    "come to the barrier\n",
                    kernel_name, blockIdx.x, blockIdx.y, blockIdx.z);
            abort();
        }
    }
}

/* Runs a whole grid. Called by one host thread at a time. */
void luc_emulate_grid(const char *name, dim3 grid, dim3 block, size_t shared,
                      const std::function<void()> &thread)
{
    static std::vector<char> memory;
    kernel_name = name;
    body = &thread;
    gridDim = grid;
    blockDim = block;
    n_threads = block.x * block.y * block.z;
    if (fibers.size() < n_threads) fibers.resize(n_threads);
    memory.resize(shared + 64);
    luc_emulated_shared = reinterpret_cast<char *>(
        (reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~(uintptr_t)63);
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                blockIdx = {x, y, z};
                if (shared) memset(luc_emulated_shared, 0xff, shared); /* never zero by luck */
                run_block();
            }
}
