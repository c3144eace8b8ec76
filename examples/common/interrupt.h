/* Ctrl-C: the first asks the program to stop at the next good moment, the second stops
 * it at once. */
#ifndef ETUDE_EXAMPLES_COMMON_INTERRUPT_H
#define ETUDE_EXAMPLES_COMMON_INTERRUPT_H

#include <stdbool.h>

#include "tensor/error.h"

/** From now on SIGINT and SIGTERM set a flag; a second one ends the process with status
 *  130, unfinished files (which are written beside their targets) aside. EIO if the system refuses. */
et_status et_interrupt_catch(void);

/** From now on the first ends the process again: nothing is left that would have to be taken away. */
et_status et_interrupt_release(void);

/** Whether they are caught now. */
bool et_interrupt_caught(void);

/** Whether one has come. A training loop asks after each step. */
bool et_interrupted(void);

/** Forgets it, for tests. */
void et_interrupt_reset(void);

#endif
