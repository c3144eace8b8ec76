/* A scope around each test: tcase_add_checked_fixture(tc, open_scope, close_scope). */
#ifndef ETUDE_TESTS_IN_SCOPE_H
#define ETUDE_TESTS_IN_SCOPE_H

#include "tensor/scope.h"
#include "tests/suite.h"

static et_scope *scope;

static void open_scope(void)
{
    scope = et_scope_open();
    ck_assert_ptr_nonnull(scope);
}

static void close_scope(void) { ck_assert_int_eq(et_scope_close(scope), ET_OK); }

#endif
