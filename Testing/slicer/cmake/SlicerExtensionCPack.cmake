# The real one packs the extension, which needs a licence and a description at the top.
foreach(file LICENSE README.md)
  if(NOT EXISTS "${CMAKE_SOURCE_DIR}/${file}")
    message(FATAL_ERROR "${file} is missing at the top of the extension")
  endif()
endforeach()
