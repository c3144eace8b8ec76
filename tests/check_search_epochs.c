/* Epochs over texts, in batches of much the same length. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "examples/search_epochs.h"
#include "tests/suite.h"
#include "tests/toy_program.h"

/* n texts: text i is i + 1 bytes long. */
static et_names texts_of(int n)
{
    et_names texts = {0};
    char text[256] = "";

    for (int i = 0; i < n; i++) {
        text[i] = 'x';
        ck_assert_int_eq(et_names_add(&texts, text), ET_OK);
    }
    return texts;
}

/* Of 20 texts in batches of 8 four are left out, each about as often as any other; the other 16 stand in
 * batches of which one has the shorter half. */
START_TEST(buckets)
{
    enum { N = 20, SIZE = 8, EPOCHS = 400 };
    et_cli *cli = parse("train --batch 8");
    et_names texts = texts_of(N);
    search_epochs e;
    int left_out[N] = {0}, shorter_first = 0;

    ck_assert_int_eq(search_epochs_open(&e, cli, NULL, N), ET_OK);
    ck_assert_int_eq(e.size, SIZE);
    for (e.epoch = 0; e.epoch < EPOCHS; e.epoch++) {
        bool seen[N] = {false};
        int32_t most[2] = {-1, -1}, least[2] = {N, N};
        ck_assert_int_eq(search_epochs_order(N, 1, e.epoch, e.order), ET_OK);
        ck_assert_int_eq(search_epochs_bucket(&e, &texts), ET_OK);
        for (int i = 0; i < 2 * SIZE; i++) {
            const int32_t item = e.order[i];
            ck_assert(item >= 0 && item < N && !seen[item]);
            seen[item] = true;
            most[i / SIZE] = item > most[i / SIZE] ? item : most[i / SIZE];
            least[i / SIZE] = item < least[i / SIZE] ? item : least[i / SIZE];
        }
        ck_assert(most[0] < least[1] || most[1] < least[0]);
        shorter_first += most[0] < least[1];
        for (int i = 0; i < N; i++)
            left_out[i] += !seen[i];
    }
    for (int i = 0; i < N; i++) /* 80 on average, with a deviation of 8 */
        ck_assert_msg(left_out[i] > 40 && left_out[i] < 120, "text %d was left out %d times", i, left_out[i]);
    ck_assert(shorter_first > 140 && shorter_first < 260);
    search_epochs_free(&e);
    et_names_free(&texts);
    et_cli_free(cli);
}
END_TEST

/* Beyond eight batches texts are sorted by parts: each batch has nine lengths in a row at most, of a part. */
START_TEST(spans)
{
    enum { N = 200, SIZE = 4, SPAN = 8 * SIZE };
    et_cli *cli = parse("train --batch 4");
    et_names texts = texts_of(N);
    search_epochs e;
    int32_t before[N], place[N];
    int different = 0;

    ck_assert_int_eq(search_epochs_open(&e, cli, NULL, N), ET_OK);
    ck_assert_int_eq(search_epochs_order(N, 1, 0, before), ET_OK);
    memcpy(e.order, before, sizeof before);
    ck_assert_int_eq(search_epochs_bucket(&e, &texts), ET_OK);
    for (int i = 0; i < N; i++)
        place[before[i]] = i;
    for (int i = 0; i < N; i++)
        different += e.order[i] != before[i];
    ck_assert_int_gt(different, N / 2);
    for (int b = 0; b < N / SIZE; b++) {
        const int part = place[e.order[b * SIZE]] / SPAN;
        for (int i = 1; i < SIZE; i++) {
            const int32_t shorter = e.order[b * SIZE + i - 1], longer = e.order[b * SIZE + i];
            ck_assert_int_eq(place[longer] / SPAN, part);
            ck_assert_int_lt(shorter, longer);
            for (int k = part * SPAN; k < (part + 1) * SPAN && k < N; k++) /* none of the part is between */
                ck_assert(before[k] <= shorter || before[k] >= longer);
        }
    }
    search_epochs_free(&e);
    et_names_free(&texts);
    et_cli_free(cli);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("search_epochs");
    TCase *t = tcase_create("epochs");

    tcase_add_checked_fixture(t, et_error_clear, NULL);
    tcase_add_test(t, buckets);
    tcase_add_test(t, spans);
    suite_add_tcase(s, t);
    return suite_run(s);
}
