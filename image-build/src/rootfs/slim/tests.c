// A program with what Debian's Go programs have: a Go note, thousands of exported symbols with dots in their names and
// of pointers, and imports of functions and of data.

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#ifdef LIBRARY
// What the program imports. The library calls back by name, and finds the program's functions and its copy of `counter`.
int counter = 40;
int replaced(void) { return 1; }
int hook(int);
int call(void) { return ++counter + replaced() + hook(3); }
#else
#ifdef GO
__asm__(".section .note.go.buildid,\"a\",@note\n"
        ".balign 4\n.long 4, 8, 4\n.asciz \"Go\\0\"\n.asciz \"buildid\"\n.previous\n");
#endif

#define ONE(n) \
    int f##n(void) __asm__("main.f" #n); \
    int f##n(void) { return 0x##n; }
#define ENTRY(n) f##n,
#define TEN(m, n) m(n##0) m(n##1) m(n##2) m(n##3) m(n##4) m(n##5) m(n##6) m(n##7) m(n##8) m(n##9)
#define HUNDRED(m, n) \
    TEN(m, n##0) TEN(m, n##1) TEN(m, n##2) TEN(m, n##3) TEN(m, n##4) \
    TEN(m, n##5) TEN(m, n##6) TEN(m, n##7) TEN(m, n##8) TEN(m, n##9)
#define THOUSAND(m) \
    HUNDRED(m, 1) HUNDRED(m, 2) HUNDRED(m, 3) HUNDRED(m, 4) HUNDRED(m, 5) \
    HUNDRED(m, 6) HUNDRED(m, 7) HUNDRED(m, 8) HUNDRED(m, 9) HUNDRED(m, a)
THOUSAND(ONE)

typedef int (*function)(void);
// Three words apart, so that most bitmaps have holes.
struct { function function; long numbers[2]; } scattered[] = {
#define SCATTERED(n) {f##n, {0x##n, -1}},
    THOUSAND(SCATTERED)
};
const function dense[] = {THOUSAND(ENTRY) THOUSAND(ENTRY) THOUSAND(ENTRY)};

extern int counter;
int call(void);
int hook(int n) { return 100 * n; }
int replaced(void) { return 2; }

static int constructed;
__attribute__((constructor)) static void construct(void) { constructed = dense[0]() + 1; }
__thread int of_thread = 5;

int main(int count, char **args) {
    long sum = 0;
    for (unsigned n = 0; n < sizeof scattered / sizeof *scattered; n++)
        sum += scattered[n].function() - scattered[n].numbers[0] + scattered[n].numbers[1];
    for (unsigned n = 0; n < sizeof dense / sizeof *dense; n++)
        sum += dense[n]();
    int called = call();
    fprintf(stdout, "%ld %d %d %d %d %s %d\n", sum, constructed, called, counter, of_thread,
            environ[0], dlsym(RTLD_DEFAULT, "hook") == (void *)hook);
    return count > 1 ? args[1][0] : 0;
}
#endif
