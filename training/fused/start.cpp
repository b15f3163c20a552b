// Asking for AMX, and the memory that the kernels work in.
#include "kernels.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

// Linux gives tiles to a process that asks (arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA); 0 where it does
EXPORT int start() { return (int)syscall(SYS_arch_prctl, 0x1023, 18); }

struct Piece {
    void* start = nullptr;
    size_t size = 0;
    ~Piece() { free(start); }
};

void* memory(Use use, size_t bytes) {
    static thread_local Piece pieces[USES];
    Piece& piece = pieces[use];
    if (bytes > piece.size) {
        free(piece.start);
        piece.size = (bytes + 4095) / 4096 * 4096;
        piece.start = aligned_alloc(4096, piece.size);
        if (!piece.start) abort();  // as good as killed: the checkpoint before is whole
    }
    return piece.start;
}
