/* The row that a dropped upload leaves. */
#include <stdio.h>

#include "storage/job_int.h"

static int run_upload_gone(struct store *s, struct store_job *job,
                           struct err *e)
{
    struct store_job_upload_gone *j = (struct store_job_upload_gone *)job;
    sqlite3_stmt *st = job_prepare(s, "DELETE FROM upload WHERE id=?", e);

    if (!st)
        return -1;
    index_bind_text(st, 1, j->id);
    return job_step(s, st, e);
}

void store_job_upload_gone_init(struct store_job_upload_gone *j, const char *id)
{
    *j = (struct store_job_upload_gone){.job.run = run_upload_gone,
                                        .job.may_use_reserve = true};
    snprintf(j->id, sizeof(j->id), "%s", id);
}
