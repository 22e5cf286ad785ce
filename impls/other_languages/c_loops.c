/*
 * Every kind of recurrent layer in plain C: the equations, and loops. It speaks the protocol of
 * docs/protocol.md; numbers are read and written in the layer's dtype, and double between.
 *
 * The suite writes its lines without blanks, in a fixed order of keys and in ASCII, so that keys
 * can be searched for: no parser of JSON is needed.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 4096

typedef struct {
    char name[64];
    char dtype[16];
    int axes;
    long shape[8];
    long size;
    double *data; /* lengths too: they are small */
} Array;

typedef struct Layer {
    long number;
    int gates, cell, has_c, relu, bias, batch_first, directions;
    long layers, inputs, hidden, projected;
    char dtype[16];
    int count;
    Array *parameters;
    struct Layer *next;
} Layer;

static char *line = NULL;
static size_t capacity = 0;
static long id = 0;
static Layer *layers = NULL;

static void *allocated(size_t size)
{
    void *memory = calloc(size ? size : 1, 1);
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

/* Where the value of a key begins, or NULL. */
static const char *value_of(const char *text, const char *key)
{
    char quoted[80];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(text, quoted);
    return at ? at + strlen(quoted) : NULL;
}

static long integer(const char *text, const char *key)
{
    const char *at = value_of(text, key);
    return at ? strtol(at, NULL, 10) : 0;
}

static int is_true(const char *text, const char *key)
{
    const char *at = value_of(text, key);
    return at && !strncmp(at, "true", 4);
}

static void word(const char *text, const char *key, char *into, size_t size)
{
    const char *at = value_of(text, key);
    size_t n = 0;
    if (at && *at == '"')
        for (at++; *at && *at != '"' && n + 1 < size; at++)
            into[n++] = *at;
    into[n] = 0;
}

static size_t width_of(const char *dtype)
{
    return !strcmp(dtype, "float16") ? 2 : !strcmp(dtype, "float32") ? 4 : 8;
}

static void answer_refusal(const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    printf("{\"id\":%ld,\"refused\":\"", id);
    vprintf(format, rest);
    printf("\"}\n");
    va_end(rest);
}

/* The arrays of a request, with their numbers; how many there are. */
static int read_arrays(Array *arrays)
{
    int count = 0;
    const char *at = value_of(line, "arrays");
    while (at && (at = strstr(at, "{\"name\":")) != NULL && count < MOST) {
        Array *array = &arrays[count++];
        word(at, "name", array->name, sizeof array->name);
        word(at, "dtype", array->dtype, sizeof array->dtype);
        array->axes = 0;
        array->size = 1;
        at = value_of(at, "shape") + 1;
        while (*at != ']' && array->axes < 8) {
            char *end;
            array->shape[array->axes] = strtol(at, &end, 10);
            array->size *= array->shape[array->axes++];
            at = *end == ',' ? end + 1 : end;
        }
    }
    for (int k = 0; k < count; k++) {
        Array *array = &arrays[k];
        size_t width = width_of(array->dtype), size = (size_t)array->size;
        char *raw = allocated(size * width);
        array->data = allocated(size * sizeof(double));
        if (fread(raw, width, size, stdin) != size)
            exit(1);
        for (size_t n = 0; n < size; n++) {
            if (width == 4) {
                float number;
                memcpy(&number, raw + n * width, width);
                array->data[n] = number;
            } else if (!strcmp(array->dtype, "int64")) {
                int64_t number;
                memcpy(&number, raw + n * width, width);
                array->data[n] = (double)number;
            } else if (width == 8) {
                memcpy(&array->data[n], raw + n * width, width);
            }
        }
        free(raw);
    }
    return count;
}

static void release(Array *arrays, int count)
{
    for (int k = 0; k < count; k++)
        free(arrays[k].data);
}

static Array *named(Array *arrays, int count, const char *name)
{
    for (int k = 0; k < count; k++)
        if (!strcmp(arrays[k].name, name))
            return &arrays[k];
    return NULL;
}

static double sigmoid(double z)
{
    return 1.0 / (1.0 + exp(-z));
}

/* rows of `weight` times `x`, and `bias` where there is one. */
static void product(const Array *weight, const Array *bias, const double *x, double *into)
{
    long rows = weight->shape[0], columns = weight->shape[1];
    for (long r = 0; r < rows; r++) {
        double sum = bias ? bias->data[r] : 0.0;
        for (long k = 0; k < columns; k++)
            sum += weight->data[r * columns + k] * x[k];
        into[r] = sum;
    }
}

/* One step of one sample: h and c become the next ones. */
static void step(const Layer *layer, const Array *w, const double *x, double *h, double *c,
                 double *zx, double *zh)
{
    long H = layer->hidden;
    const Array *b_ih = layer->bias ? &w[2] : NULL, *b_hh = layer->bias ? &w[3] : NULL;
    product(&w[0], b_ih, x, zx);
    product(&w[1], b_hh, h, zh);
    if (layer->gates == 4) {
        for (long u = 0; u < H; u++) {
            double i = sigmoid(zx[u] + zh[u]), f = sigmoid(zx[H + u] + zh[H + u]);
            double g = tanh(zx[2 * H + u] + zh[2 * H + u]);
            double o = sigmoid(zx[3 * H + u] + zh[3 * H + u]);
            c[u] = f * c[u] + i * g;
            zx[u] = o * tanh(c[u]);
        }
        if (layer->projected)
            product(&w[layer->bias ? 4 : 2], NULL, zx, h);
        else
            memcpy(h, zx, (size_t)H * sizeof(double));
    } else if (layer->gates == 3) {
        for (long u = 0; u < H; u++) {
            double r = sigmoid(zx[u] + zh[u]), z = sigmoid(zx[H + u] + zh[H + u]);
            double n = tanh(zx[2 * H + u] + r * zh[2 * H + u]);
            h[u] = (1.0 - z) * n + z * h[u];
        }
    } else {
        for (long u = 0; u < H; u++) {
            double z = zx[u] + zh[u];
            /* NaN is let through, as it is no less than zero. */
            h[u] = layer->relu ? (z < 0.0 ? 0.0 : z) : tanh(z);
        }
    }
}

static void write_numbers(const char *dtype, const double *numbers, long size)
{
    if (width_of(dtype) == 8) {
        fwrite(numbers, 8, (size_t)size, stdout);
        return;
    }
    for (long n = 0; n < size; n++) {
        float number = (float)numbers[n];
        fwrite(&number, 4, 1, stdout);
    }
}

static void list_array(const char *name, const char *dtype, const long *shape, int axes)
{
    printf("{\"name\":\"%s\",\"dtype\":\"%s\",\"shape\":[", name, dtype);
    for (int k = 0; k < axes; k++)
        printf(k ? ",%ld" : "%ld", shape[k]);
    printf("]}");
}

static Layer *found(long number)
{
    Layer *layer = layers;
    while (layer && layer->number != number)
        layer = layer->next;
    return layer;
}

static void hello(void)
{
    printf("{\"id\":%ld,\"protocol\":1,\"name\":\"c_loops\",\"level\":\"inference\","
           "\"kinds\":[\"RNN\",\"LSTM\",\"GRU\",\"RNNCell\",\"LSTMCell\",\"GRUCell\"],"
           "\"features\":[\"bidirectional\",\"multi_layer\",\"batch_first\",\"bias_free\","
           "\"initial_state\",\"unbatched\",\"packed\",\"projection\",\"relu\",\"empty_batch\"],"
           "\"dtypes\":[\"float32\",\"float64\"]}\n",
           id);
}

static void build(Array *arrays, int count)
{
    char kind[16], nonlinearity[16];
    const char *config = value_of(line, "config"), *dropout;
    Layer *layer = allocated(sizeof *layer);
    layer->number = integer(line, "layer");
    word(line, "dtype", layer->dtype, sizeof layer->dtype);
    word(config, "kind", kind, sizeof kind);
    word(config, "nonlinearity", nonlinearity, sizeof nonlinearity);
    dropout = value_of(config, "dropout");
    layer->has_c = !strncmp(kind, "LSTM", 4);
    layer->gates = layer->has_c ? 4 : !strncmp(kind, "GRU", 3) ? 3 : 1;
    layer->cell = strstr(kind, "Cell") != NULL;
    layer->relu = !strcmp(nonlinearity, "relu");
    layer->bias = is_true(config, "bias");
    layer->batch_first = is_true(config, "batch_first");
    layer->directions = is_true(config, "bidirectional") ? 2 : 1;
    layer->layers = integer(config, "num_layers");
    layer->inputs = integer(config, "input_size");
    layer->hidden = integer(config, "hidden_size");
    layer->projected = integer(config, "proj_size");
    if (dropout && strtod(dropout, NULL) > 0.0) {
        answer_refusal("no dropout");
    } else if (strcmp(layer->dtype, "float32") && strcmp(layer->dtype, "float64")) {
        answer_refusal("no %s", layer->dtype);
    } else {
        layer->count = count;
        layer->parameters = allocated((size_t)count * sizeof(Array));
        memcpy(layer->parameters, arrays, (size_t)count * sizeof(Array));
        layer->next = layers;
        layers = layer;
        printf("{\"id\":%ld}\n", id);
        return;
    }
    free(layer);
    release(arrays, count);
}

static void forget(long number)
{
    for (Layer **at = &layers; *at; at = &(*at)->next)
        if ((*at)->number == number) {
            Layer *layer = *at;
            *at = layer->next;
            release(layer->parameters, layer->count);
            free(layer->parameters);
            free(layer);
            break;
        }
    printf("{\"id\":%ld}\n", id);
}

/* A state as it is given, or zeros; NULL if it is given and does not fit. */
static double *initial(const Array *given, const char *dtype, const long *shape, int axes,
                       long size)
{
    double *state = allocated((size_t)size * sizeof(double));
    if (!given)
        return state;
    int fits = given->axes == axes && !strcmp(given->dtype, dtype);
    for (int k = 0; fits && k < axes; k++)
        fits = given->shape[k] == shape[k];
    if (!fits) {
        free(state);
        return NULL;
    }
    memcpy(state, given->data, (size_t)size * sizeof(double));
    return state;
}

static void call(const Layer *layer, Array *arrays, int count)
{
    Array *input = named(arrays, count, "input"), *lengths = named(arrays, count, "lengths");
    Array *h_0 = named(arrays, count, "h_0"), *c_0 = named(arrays, count, "c_0");
    int full = layer->cell ? 2 : 3;
    if (!input || input->axes > full || input->axes < full - 1) {
        answer_refusal("the input must have %d axes, or one less unbatched", full);
        return;
    }
    int unbatched = input->axes == full - 1;
    /* Swapped if and only if there are both steps and samples. */
    int swapped = layer->batch_first && !unbatched && !layer->cell;
    long F = input->shape[input->axes - 1];
    long L = layer->cell ? 1 : input->shape[swapped];
    long N = unbatched ? 1 : input->shape[layer->cell ? 0 : !swapped];
    long D = layer->directions, H = layer->hidden, K = layer->layers;
    long P = layer->projected ? layer->projected : H;
    if (F != layer->inputs || L < 1 || strcmp(input->dtype, layer->dtype)) {
        answer_refusal("an input of %ld steps and %ld features in %s does not fit", L, F,
                       input->dtype);
        return;
    }
    if (lengths) {
        int fits = !unbatched && !layer->cell && lengths->size == N;
        for (long n = 0; fits && n < N; n++)
            fits = lengths->data[n] >= 1 && lengths->data[n] <= (double)L;
        if (!fits) {
            answer_refusal("the lengths do not fit the input");
            return;
        }
    }
    if (layer->has_c ? !h_0 != !c_0 : c_0 != NULL) {
        answer_refusal("the state is h_0 and c_0 for an LSTM, h_0 for the others");
        return;
    }
    long h_shape[3], c_shape[3];
    int axes = 0;
    if (!layer->cell)
        h_shape[axes++] = D * K;
    if (!unbatched)
        h_shape[axes++] = N;
    memcpy(c_shape, h_shape, sizeof h_shape);
    h_shape[axes] = P;
    c_shape[axes++] = H;
    double *h = initial(h_0, layer->dtype, h_shape, axes, D * K * N * P);
    double *c = initial(c_0, layer->dtype, c_shape, axes, D * K * N * H);
    if (!h || !c) {
        answer_refusal("a state does not fit");
        free(h);
        free(c);
        return;
    }

    /* Time first, from here to the last line. */
    double *x = allocated((size_t)(L * N * F) * sizeof(double)), *y = NULL;
    for (long t = 0; t < L; t++)
        for (long n = 0; n < N; n++)
            memcpy(x + (t * N + n) * F, input->data + (swapped ? n * L + t : t * N + n) * F,
                   (size_t)F * sizeof(double));
    double *zx = allocated((size_t)(layer->gates * H) * sizeof(double));
    double *zh = allocated((size_t)(layer->gates * H) * sizeof(double));
    long each = 2 + 2 * layer->bias + (layer->projected > 0), width = F;
    for (long k = 0; k < K; k++) {
        y = allocated((size_t)(L * N * D * P) * sizeof(double));
        for (long d = 0; d < D; d++) {
            const Array *weights = layer->parameters + (k * D + d) * each;
            for (long n = 0; n < N; n++) {
                /* Padding is no step: the reverse direction begins at each sequence's own end. */
                long own = lengths ? (long)lengths->data[n] : L;
                double *hn = h + ((k * D + d) * N + n) * P, *cn = c + ((k * D + d) * N + n) * H;
                for (long s = 0; s < own; s++) {
                    long t = d ? own - 1 - s : s;
                    step(layer, weights, x + (t * N + n) * width, hn, cn, zx, zh);
                    memcpy(y + ((t * N + n) * D + d) * P, hn, (size_t)P * sizeof(double));
                }
            }
        }
        free(x);
        x = y;
        width = D * P;
    }

    printf("{\"id\":%ld,\"arrays\":[", id);
    if (!layer->cell) {
        long shape[3] = {swapped ? N : L, swapped ? L : N, D * P};
        if (unbatched)
            shape[1] = D * P;
        list_array("output", layer->dtype, shape, unbatched ? 2 : 3);
        printf(",");
    }
    list_array("h_n", layer->dtype, h_shape, axes);
    if (layer->has_c) {
        printf(",");
        list_array("c_n", layer->dtype, c_shape, axes);
    }
    printf("]}\n");
    if (!layer->cell && !swapped)
        write_numbers(layer->dtype, x, L * N * D * P);
    for (long n = 0; swapped && n < N; n++)
        for (long t = 0; t < L; t++)
            write_numbers(layer->dtype, x + (t * N + n) * D * P, D * P);
    write_numbers(layer->dtype, h, D * K * N * P);
    if (layer->has_c)
        write_numbers(layer->dtype, c, D * K * N * H);
    free(x);
    free(h);
    free(c);
    free(zx);
    free(zh);
}

int main(void)
{
    static Array arrays[MOST];
    char what[16];
    while (getline(&line, &capacity, stdin) > 0) {
        int count = read_arrays(arrays);
        id = integer(line, "id");
        word(line, "do", what, sizeof what);
        Layer *layer = found(integer(line, "layer"));
        if (!strcmp(what, "hello")) {
            hello();
        } else if (!strcmp(what, "build")) {
            build(arrays, count);
            count = 0; /* they are the layer's now */
        } else if (!strcmp(what, "call") && layer) {
            call(layer, arrays, count);
        } else if (!strcmp(what, "free")) {
            forget(integer(line, "layer"));
        } else {
            answer_refusal("there is nothing to do that is called %s here", what);
        }
        release(arrays, count);
        fflush(stdout);
    }
    return 0;
}
