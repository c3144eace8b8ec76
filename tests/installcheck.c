/* A program as users write them, C and C++: it is compiled against the installed library. */
#include <etude/etude.h>

#include <stdio.h>

int main(void)
{
    int64_t shape[2] = {2, 3}, last[2] = {1, 2};
    et_scope *step = et_scope_open();
    et_tensor *x = et_set_requires_grad(et_full(ET_F64, 2, shape, 0.5), true);
    et_tensor *y = et_add(et_mul(x, x), et_tanh(x));
    double value;
    int good;

    if (!y) {
        fprintf(stderr, "%s\n", et_error_message());
        return 1;
    }
    value = et_get(y, last);
    good = value > 0.7121 && value < 0.7122; /* 0.25 + tanh 0.5 */
    good = et_scope_close(step) == ET_OK && good;
    printf("etude %s: %s\n", ET_VERSION, good ? "works" : "wrong result");
    return good ? 0 : 1;
}
