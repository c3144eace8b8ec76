/* Ctrl-C: see interrupt.h. The handler does no more than to set a flag. */
#include "config.h"

#include "examples/common/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t came;
static bool caught;

static void on_signal(int number)
{
    (void)number;
    if (came)
        _exit(130);
    came = 1;
}

static et_status handle(void (*handler)(int))
{
    static const int numbers[] = {SIGINT, SIGTERM};
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (sigaction(numbers[i], &action, NULL) != 0)
            return et_raise(ET_EIO, "cannot catch signal %d: %s", numbers[i], strerror(errno));
    caught = handler == on_signal;
    return ET_OK;
}

et_status et_interrupt_catch(void)
{
    return handle(on_signal);
}

et_status et_interrupt_release(void)
{
    return handle(SIG_DFL);
}

bool et_interrupt_caught(void)
{
    return caught;
}

bool et_interrupted(void)
{
    return came != 0;
}

void et_interrupt_reset(void)
{
    came = 0;
}
