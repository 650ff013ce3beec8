// A Vulkan layer that makes any driver lie, for tests of the self-test (tests/suite/gpu/wrong_devices.rs compiles it). It declares
// what it needs of Vulkan itself, so that no headers have to be installed.
//
// LYING_DRIVER says how: "nothing" runs no dispatch, "second" leaves out every second one, "zeros" and "nan" spoil what is copied,
// "kernel:NAME" runs no dispatch of one kernel, "pipeline:NAME" makes no pipeline of it, "honest" does nothing wrong.
// LYING_DISCRETE claims to be hardware, LYING_HEAP to have so many bytes of memory, LYING_ROOM gives out no more than so many at a time.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void (*Function)(void);
typedef Function (*GetProcAddr)(void *, const char *);

// The start of every structure of Vulkan.
typedef struct Header { int type; const struct Header *next; } Header;
// What the loader tells a layer of the layer below: VkLayerInstanceCreateInfo and VkLayerDeviceCreateInfo.
typedef struct Link { struct Link *next; GetProcAddr instance; GetProcAddr device; } Link;
typedef struct { Header header; int function; union { Link *link; void *other; } below; } LayerInfo;
typedef struct { int type; void *next; uint32_t version; GetProcAddr instance, device, physical; } Negotiation;
// VkPipelineShaderStageCreateInfo and VkComputePipelineCreateInfo.
typedef struct { int type; const void *next; uint32_t flags; int stage; uint64_t module; const char *name; const void *special; } Stage;
typedef struct { int type; const void *next; uint32_t flags; Stage stage; uint64_t layout, base; int32_t index; } ComputePipeline;
typedef struct { uint64_t source, target, size; } Region;
typedef struct { int type; const void *next; uint32_t from, to; } Barrier;

// VkPhysicalDeviceMemoryProperties2 with its budget, and VkMemoryAllocateInfo.
typedef struct { uint64_t size; uint32_t flags, padding; } Heap;
typedef struct { Header header; uint32_t types; uint32_t type[32][2]; uint32_t count; Heap heaps[16]; } Memory;
typedef struct { Header header; uint64_t budget[16], usage[16]; } Budget;
typedef struct { int type; const void *next; uint64_t size; uint32_t index; } Allocation;

enum { OUT_OF_DEVICE_MEMORY = -2, UNKNOWN = -13, BUDGET = 1000237000 };
enum { INSTANCE_LINK = 47, DEVICE_LINK = 48, MEMORY_BARRIER = 46, DISCRETE = 2, TRANSFER = 0x1000 };

static GetProcAddr next_instance, next_device;
static void *the_instance;
// Asked for at once: later the loader would answer with this layer's own functions, and a device may be gone.
static void (*next_properties)(void *, uint32_t *);
static void (*next_properties_2)(void *, Header *);
static void (*next_memory)(void *, Memory *);
static int (*next_create_device)(void *, const Header *, const void *, void **);
static int (*next_allocate)(void *, const Allocation *, const void *, uint64_t *);
static int (*next_pipelines)(void *, uint64_t, uint32_t, const ComputePipeline *, const void *, uint64_t *);
static void (*next_bind)(void *, int, uint64_t);
static void (*next_dispatch)(void *, uint32_t, uint32_t, uint32_t);
static void (*next_copy)(void *, uint64_t, uint64_t, uint32_t, const Region *);
static void (*next_fill)(void *, uint64_t, uint64_t, uint64_t, uint32_t);
static void (*next_barrier)(void *, uint32_t, uint32_t, uint32_t, uint32_t, const Barrier *, uint32_t, const void *, uint32_t,
                            const void *);
// Pipelines of the kernel that is left out.
static uint64_t silenced[64];
static int silenced_count;
static _Thread_local int is_silent;

static const char *mode(void) {
    const char *text = getenv("LYING_DRIVER");
    return text ? text : "honest";
}
static int is(const char *text) { return strcmp(mode(), text) == 0; }

static Link *link_of(const Header *info, int type) {
    for (const Header *header = info->next; header; header = header->next) {
        LayerInfo *layer = (LayerInfo *)header;
        if (header->type == type && layer->function == 0) {
            Link *link = layer->below.link;
            layer->below.link = link->next;
            return link;
        }
    }
    return NULL;
}

static int create_instance(const Header *info, const void *allocator, void **instance) {
    Link *link = link_of(info, INSTANCE_LINK);
    if (!link) return -3;
    next_instance = link->instance;
    int (*create)(const Header *, const void *, void **) = (void *)next_instance(NULL, "vkCreateInstance");
    int result = create(info, allocator, instance);
    if (result != 0) return result;
    the_instance = *instance;
    next_properties = (void *)next_instance(the_instance, "vkGetPhysicalDeviceProperties");
    next_properties_2 = (void *)next_instance(the_instance, "vkGetPhysicalDeviceProperties2");
    next_memory = (void *)next_instance(the_instance, "vkGetPhysicalDeviceMemoryProperties2");
    next_create_device = (void *)next_instance(the_instance, "vkCreateDevice");
    return 0;
}

static int create_device(void *physical, const Header *info, const void *allocator, void **device) {
    Link *link = link_of(info, DEVICE_LINK);
    if (!link) return -3;
    next_device = link->device;
    int result = next_create_device(physical, info, allocator, device);
    if (result != 0) return result;
    next_allocate = (void *)next_device(*device, "vkAllocateMemory");
    next_pipelines = (void *)next_device(*device, "vkCreateComputePipelines");
    next_bind = (void *)next_device(*device, "vkCmdBindPipeline");
    next_dispatch = (void *)next_device(*device, "vkCmdDispatch");
    next_copy = (void *)next_device(*device, "vkCmdCopyBuffer");
    next_fill = (void *)next_device(*device, "vkCmdFillBuffer");
    next_barrier = (void *)next_device(*device, "vkCmdPipelineBarrier");
    return 0;
}

// `properties` begins with four numbers; the fifth is the type of the device.
static void claim(uint32_t *properties) {
    if (getenv("LYING_DISCRETE")) properties[4] = DISCRETE;
}

static void get_properties(void *physical, uint32_t *properties) {
    next_properties(physical, properties);
    claim(properties);
}

static void get_properties_2(void *physical, Header *properties) {
    next_properties_2(physical, properties);
    claim((uint32_t *)(properties + 1));
}

static void get_memory(void *physical, Memory *memory) {
    next_memory(physical, memory);
    const char *heap = getenv("LYING_HEAP");
    if (!heap) return;
    uint64_t bytes = strtoull(heap, NULL, 10);
    for (uint32_t i = 0; i < memory->count; i++) memory->heaps[i].size = bytes;
    for (Header *next = (Header *)memory->header.next; next; next = (Header *)next->next) {
        if (next->type != BUDGET) continue;
        for (int i = 0; i < 16; i++) ((Budget *)next)->budget[i] = bytes, ((Budget *)next)->usage[i] = 0;
    }
}

static int allocate(void *device, const Allocation *info, const void *allocator, uint64_t *memory) {
    const char *room = getenv("LYING_ROOM");
    // Of each allocation: like memory that is in pieces.
    if (room && info->size > strtoull(room, NULL, 10)) return OUT_OF_DEVICE_MEMORY;
    return next_allocate(device, info, allocator, memory);
}

static int create_pipelines(void *device, uint64_t cache, uint32_t count, const ComputePipeline *infos, const void *allocator,
                            uint64_t *pipelines) {
    for (uint32_t i = 0; i < count; i++) {
        int is_named = strncmp(mode(), "pipeline:", 9) == 0 && strcmp(infos[i].stage.name, mode() + 9) == 0;
        if (is_named) return UNKNOWN;
    }
    int result = next_pipelines(device, cache, count, infos, allocator, pipelines);
    for (uint32_t i = 0; i < count; i++) {
        int is_named = strncmp(mode(), "kernel:", 7) == 0 && strcmp(infos[i].stage.name, mode() + 7) == 0;
        if (is_named) silenced[__sync_fetch_and_add(&silenced_count, 1) % 64] = pipelines[i];
    }
    return result;
}

static void bind_pipeline(void *commands, int point, uint64_t pipeline) {
    is_silent = 0;
    for (int i = 0; i < silenced_count && i < 64; i++) is_silent |= silenced[i] == pipeline;
    next_bind(commands, point, pipeline);
}

static void dispatch(void *commands, uint32_t x, uint32_t y, uint32_t z) {
    static int count;
    int is_second = __sync_fetch_and_add(&count, 1) % 2;
    if (is("nothing") || is_silent || (is("second") && is_second)) return;
    next_dispatch(commands, x, y, z);
}

static void copy_buffer(void *commands, uint64_t source, uint64_t target, uint32_t count, const Region *regions) {
    next_copy(commands, source, target, count, regions);
    if (!is("zeros") && !is("nan")) return;
    Barrier barrier = {MEMORY_BARRIER, NULL, TRANSFER, TRANSFER};
    next_barrier(commands, TRANSFER, TRANSFER, 0, 1, &barrier, 0, NULL, 0, NULL);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t middle = regions[i].size / 8 * 4, first = regions[i].target;
        if (is("zeros")) next_fill(commands, target, first, regions[i].size / 4 * 4, 0);
        if (is("nan")) next_fill(commands, target, first + middle, 4, 0x7fc00000);
    }
}

static Function of_device(void *device, const char *name);

static Function own(const char *name) {
    struct { const char *name; void *function; } all[] = {
        {"vkGetDeviceProcAddr", of_device},
        {"vkCreateDevice", create_device},
        {"vkGetPhysicalDeviceProperties", get_properties},
        {"vkGetPhysicalDeviceProperties2", get_properties_2},
        {"vkGetPhysicalDeviceProperties2KHR", get_properties_2},
        {"vkGetPhysicalDeviceMemoryProperties2", get_memory},
        {"vkGetPhysicalDeviceMemoryProperties2KHR", get_memory},
        {"vkAllocateMemory", allocate},
        {"vkCreateComputePipelines", create_pipelines},
        {"vkCmdBindPipeline", bind_pipeline},
        {"vkCmdDispatch", dispatch},
        {"vkCmdCopyBuffer", copy_buffer},
    };
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(all[i].name, name) == 0) return (Function)all[i].function;
    }
    return NULL;
}

static Function of_device(void *device, const char *name) {
    Function function = own(name);
    return function ? function : next_device(device, name);
}

static Function of_instance(void *instance, const char *name) {
    if (strcmp(name, "vkCreateInstance") == 0) return (Function)create_instance;
    if (strcmp(name, "vkGetInstanceProcAddr") == 0) return (Function)of_instance;
    Function function = own(name);
    return function ? function : next_instance(instance, name);
}

int vkNegotiateLoaderLayerInterfaceVersion(Negotiation *negotiation) {
    negotiation->version = 2;
    negotiation->instance = of_instance;
    negotiation->device = of_device;
    negotiation->physical = NULL;
    return 0;
}
