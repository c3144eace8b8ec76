/* WAV: RIFF, RF64 and BW64 files. Source: Microsoft, "Multiple Channel Audio Data and WAVE Files"; EBU
 * Tech 3306 (RF64); ITU-R BS.2088 (BW64). */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "datasets/audio_format.h"
#include "tensor/alloc.h"
#include "tensor/bytes.h"

/* --- reading ------------------------------------------------------------------------------------- */

enum {
    FORMAT_PCM = 1,
    FORMAT_FLOAT = 3,
    FORMAT_ALAW = 6,
    FORMAT_MULAW = 7,
    FORMAT_EXTENSIBLE = 0xFFFE,
    FMT_MIN = 16,       /* bytes of the shortest fmt chunk */
    FMT_EXTENSIBLE = 40 /* of one that is extensible */
};

/* What follows the first two bytes of a sub-format that is a plain format number. */
static const unsigned char sub_format[14] = {0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71};

static et_status parse_fmt(const char *name, const unsigned char *p, size_t size, et_audio_layout *l)
{
    unsigned format = et_load_u16le(p), block = et_load_u16le(p + 12);
    int64_t channels = et_load_u16le(p + 2);

    l->channels = channels;
    l->rate = et_load_u32le(p + 4);
    l->bits = et_load_u16le(p + 14);
    l->other = format;
    l->code = ET_CODE_OTHER;
    if (format == FORMAT_EXTENSIBLE) {
        if (size < FMT_EXTENSIBLE)
            return et_raise(ET_EFORMAT, "%s: an extensible fmt chunk of %zu bytes, not %d", name, size,
                            FMT_EXTENSIBLE);
        if (memcmp(p + 26, sub_format, sizeof sub_format) != 0)
            return ET_OK;
        l->other = format = et_load_u16le(p + 24);
    }
    if (format != FORMAT_PCM && format != FORMAT_FLOAT && format != FORMAT_ALAW && format != FORMAT_MULAW)
        return ET_OK;
    if (channels == 0 || block == 0 || block % channels != 0)
        return et_raise(ET_EFORMAT, "%s: frames of %u bytes for %" PRId64 " channels", name, block, channels);
    l->bytes = (int)(block / channels);
    if (format == FORMAT_PCM && l->bits >= 1 && l->bits <= 8 * l->bytes && l->bytes <= 4)
        l->code = l->bytes == 1 ? ET_CODE_U8 : ET_CODE_PCM;
    else if (format == FORMAT_FLOAT && (l->bytes == 4 || l->bytes == 8) && l->bits == 8 * l->bytes)
        l->code = ET_CODE_FLOAT;
    else if ((format == FORMAT_ALAW || format == FORMAT_MULAW) && l->bytes == 1)
        l->code = format == FORMAT_ALAW ? ET_CODE_ALAW : ET_CODE_MULAW;
    else
        return et_raise(ET_EFORMAT, "%s: %d bits in samples of %d bytes do not fit WAV format %u", name,
                        l->bits, l->bytes, format);
    return ET_OK;
}

/* The fmt chunk of `length` bytes at `at`. */
static et_status read_fmt(et_reader *r, uint64_t at, uint64_t length, et_audio_layout *l)
{
    unsigned char head[FMT_EXTENSIBLE];
    const size_t n = length < sizeof head ? (size_t)length : sizeof head;

    if (length < FMT_MIN)
        return et_raise(ET_EFORMAT, "%s: a fmt chunk of %" PRIu64 " bytes, not %d", et_reader_name(r), length,
                        FMT_MIN);
    if (et_reader_at(r, at, head, n) < 0)
        return et_error_status();
    return parse_fmt(et_reader_name(r), head, n, l);
}

/* The ds64 chunk of `length` bytes at `at`, which holds sizes that 32 bits do not: that of the samples. */
static et_status read_ds64(et_reader *r, uint64_t at, uint64_t length, uint64_t *data)
{
    unsigned char head[16];

    if (length < 24)
        return et_raise(ET_EFORMAT, "%s: a ds64 chunk of %" PRIu64 " bytes, not 24", et_reader_name(r),
                        length);
    if (et_reader_at(r, at, head, sizeof head) < 0)
        return et_error_status();
    *data = et_load_u64le(head + 8);
    return ET_OK;
}

/* The data chunk, whose header announces `length` bytes at `at`. */
static et_status find_samples(et_reader *r, uint64_t at, uint64_t length, bool streamed, et_audio_layout *l)
{
    const uint64_t rest = et_reader_size(r) - at;

    l->offset = at;
    if (l->code == ET_CODE_OTHER)
        return ET_OK;
    if (streamed && length > rest)
        length = rest;
    if (length > rest)
        return et_raise(ET_EFORMAT,
                        "%s: truncated: %" PRIu64 " bytes of samples are announced, %" PRIu64 " are there",
                        et_reader_name(r), length, rest);
    return et_audio_layout_finish(r, l, length);
}

et_status et_wav_layout(et_reader *r, bool streamed, et_audio_layout *l)
{
    const char *name = et_reader_name(r);
    uint64_t size = et_reader_size(r), at = 12, data64 = 0;
    unsigned char head[12];
    bool wide, have_fmt = false;

    memset(l, 0, sizeof *l);
    if (et_reader_at(r, 0, head, 12) < 0)
        return et_error_status();
    wide = memcmp(head, "RIFF", 4) != 0;
    l->container = !wide ? "WAV" : head[0] == 'R' ? "RF64" : "BW64";
    if (memcmp(head + 8, "WAVE", 4) != 0)
        return et_raise(ET_EFORMAT, "%s: a RIFF file, but not of sound", name);
    for (;;) {
        uint64_t length, rest;

        if (size - at < 8)
            return et_raise(ET_EFORMAT, "%s: truncated: it ends before its %s chunk", name,
                            have_fmt ? "data" : "fmt");
        if (et_reader_at(r, at, head, 8) < 0)
            return et_error_status();
        at += 8;
        rest = size - at;
        length = et_load_u32le(head + 4);
        if (memcmp(head, "data", 4) == 0) {
            if (!have_fmt)
                return et_raise(ET_EFORMAT, "%s: samples come before the fmt chunk that describes them",
                                name);
            if (length == UINT32_MAX)
                length = wide ? data64 : rest; /* in a plain file: written to a pipe, size unknown */
            return find_samples(r, at, length, streamed, l);
        }
        if (length > rest)
            return et_raise(ET_EFORMAT, "%s: truncated in a chunk of %" PRIu64 " bytes at byte %" PRIu64,
                            name, length, at);
        if (memcmp(head, "fmt ", 4) == 0 && !have_fmt) {
            if (read_fmt(r, at, length, l) < 0)
                return et_error_status();
            have_fmt = true;
        } else if (wide && memcmp(head, "ds64", 4) == 0) {
            if (read_ds64(r, at, length, &data64) < 0)
                return et_error_status();
        }
        at += length;
        if (length % 2 == 1 && at < size) /* chunks begin at even places */
            at++;
    }
}

/* --- writing ------------------------------------------------------------------------------------- */

enum { OUT_BLOCK = 4096 }; /* samples encoded before they are written */

/* Rounded to the nearest of 2^bits steps, clipped at full scale. */
static int32_t quantize(float x, double full)
{
    double v = nearbyint((double)x * full);

    return (int32_t)(v < -full ? -full : v > full - 1 ? full - 1 : v);
}

static void encode(et_wav_encoding encoding, float x, unsigned char *p)
{
    if (encoding == ET_WAV_PCM16) {
        et_store_u16le(p, (uint16_t)quantize(x, 32768.0));
    } else if (encoding == ET_WAV_PCM24) {
        uint32_t v = (uint32_t)quantize(x, 8388608.0);
        et_store_u16le(p, (uint16_t)v);
        p[2] = (unsigned char)(v >> 16);
    } else {
        et_store_u32le(p, et_f32_bits(x));
    }
}

/* RIFF, fmt, for floats fact, and the beginning of data. Returns its size. */
static size_t put_header(unsigned char *h, et_wav_encoding encoding, int64_t rate, int64_t channels,
                         int64_t frames, unsigned bytes)
{
    bool real = encoding == ET_WAV_FLOAT32;
    uint32_t n = (uint32_t)(frames * channels * bytes);
    size_t fmt = real ? 18 : 16, size = 20 + fmt + (real ? 12 : 0) + 8;
    unsigned char *p = h + 20 + fmt;

    memset(h, 0, size);
    memcpy(h, "RIFF", 4);
    et_store_u32le(h + 4, (uint32_t)(size - 8) + n + n % 2);
    memcpy(h + 8, "WAVEfmt ", 8);
    et_store_u32le(h + 16, (uint32_t)fmt);
    et_store_u16le(h + 20, real ? FORMAT_FLOAT : FORMAT_PCM);
    et_store_u16le(h + 22, (uint16_t)channels);
    et_store_u32le(h + 24, (uint32_t)rate);
    et_store_u32le(h + 28, (uint32_t)((uint64_t)rate * (uint64_t)channels * bytes));
    et_store_u16le(h + 32, (uint16_t)(channels * bytes));
    et_store_u16le(h + 34, (uint16_t)(8 * bytes));
    if (real) {
        memcpy(p, "fact", 4);
        et_store_u32le(p + 4, 4);
        et_store_u32le(p + 8, (uint32_t)frames);
        p += 12;
    }
    memcpy(p, "data", 4);
    et_store_u32le(p + 4, n);
    return size;
}

/* Where bytes go: a file, or memory that is large enough. */
typedef struct sink {
    et_writer *w;
    unsigned char *memory;
    size_t used;
} sink;

static et_status put(sink *s, const unsigned char *data, size_t size)
{
    if (s->w)
        return et_writer_put(s->w, data, size);
    memcpy(s->memory + s->used, data, size);
    s->used += size;
    return ET_OK;
}

static unsigned bytes_of(et_wav_encoding encoding)
{
    return encoding == ET_WAV_PCM16 ? 2 : encoding == ET_WAV_PCM24 ? 3 : 4;
}

static et_status put_samples(sink *s, const et_tensor *t, et_wav_encoding encoding)
{
    bool flat = t->ndim == 1;
    int64_t channels = flat ? 1 : t->shape[0], frames = t->shape[t->ndim - 1];
    int64_t across = flat ? 0 : t->strides[0], along = t->strides[t->ndim - 1];
    unsigned bytes = bytes_of(encoding);
    const float *x = et_data_f32(t);
    unsigned char block[OUT_BLOCK * 4];
    size_t used = 0;

    if (!x)
        return et_error_status();
    for (int64_t i = 0; i < frames; i++)
        for (int64_t c = 0; c < channels; c++) {
            float v = x[c * across + i * along];

            if (isnan(v) && encoding != ET_WAV_FLOAT32)
                return et_raise(ET_EINVAL, "frame %" PRId64 " of channel %" PRId64 " is not a number", i, c);
            encode(encoding, v, block + used);
            used += bytes;
            if (used > sizeof block - 4) {
                put(s, block, used);
                used = 0;
            }
        }
    if (frames * channels * bytes % 2 == 1)
        block[used++] = 0;
    return put(s, block, used);
}

/* Writes the header to h and returns its size; 0 after an error. */
static size_t begin(const char *path, const et_tensor *samples, int64_t rate, et_wav_encoding encoding,
                    unsigned char h[64])
{
    int64_t channels, total;

    if (et_error_status() != ET_OK) {
        et_fail_status("WAV write");
        return 0;
    }
    if (!path || !samples) {
        et_raise(ET_EINVAL, "WAV write: NULL argument");
        return 0;
    }
    if (encoding != ET_WAV_PCM16 && encoding != ET_WAV_PCM24 && encoding != ET_WAV_FLOAT32) {
        et_raise(ET_EINVAL, "%s: no WAV encoding has the number %d", path, (int)encoding);
        return 0;
    }
    if (samples->dtype != ET_F32) {
        et_raise(ET_EDTYPE, "%s: samples are float32, not %s", path, et_dtype_name(samples->dtype));
        return 0;
    }
    channels = samples->ndim == 2 ? samples->shape[0] : 1;
    if (samples->ndim < 1 || samples->ndim > 2 || channels < 1 || channels > ET_AUDIO_MAX_CHANNELS) {
        char text[ET_SHAPE_TEXT];
        et_raise(ET_ESHAPE, "%s: samples are [frames] or [channels, frames], not %s", path,
                 et_shape_text(text, samples->ndim, samples->shape));
        return 0;
    }
    if (rate < 1 || rate > ET_AUDIO_MAX_RATE) {
        et_raise(ET_EINVAL, "%s: a rate of %" PRId64 " Hz, not 1 .. %d", path, rate, ET_AUDIO_MAX_RATE);
        return 0;
    }
    if (!et_mul_i64(samples->numel, bytes_of(encoding), &total) || total > (int64_t)UINT32_MAX - 64) {
        et_raise(ET_EINVAL, "%s: %" PRId64 " samples are too many for a WAV file", path, samples->numel);
        return 0;
    }
    return put_header(h, encoding, rate, channels, samples->shape[samples->ndim - 1], bytes_of(encoding));
}

et_status et_audio_write_wav(const char *path, const et_tensor *samples, int64_t rate,
                             et_wav_encoding encoding)
{
    unsigned char header[64];
    size_t size = begin(path, samples, rate, encoding, header);
    sink s = {.w = size ? et_writer_open(path) : NULL};

    if (!s.w)
        return et_error_status();
    put(&s, header, size);
    et_status status = put_samples(&s, samples, encoding);
    if (status == ET_OK)
        return et_writer_commit(s.w);
    et_writer_discard(s.w);
    return status == ET_EINVAL ? et_fail_status(path) : status; /* what the writer says names the file */
}

unsigned char *et_audio_wav(const char *name, const et_tensor *samples, int64_t rate,
                            et_wav_encoding encoding, size_t *size)
{
    unsigned char header[64];
    size_t n = begin(name, samples, rate, encoding, header);
    sink s = {.memory = n ? et_alloc(n + (size_t)samples->numel * bytes_of(encoding) + 1) : NULL};

    if (!s.memory)
        return NULL;
    put(&s, header, n);
    if (put_samples(&s, samples, encoding) < 0) {
        et_fail_status(name);
        et_dealloc(s.memory);
        return NULL;
    }
    *size = s.used;
    return s.memory;
}
